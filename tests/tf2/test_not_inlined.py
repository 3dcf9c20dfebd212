"""Functions that TensorFlow calls without inlining them: their ops are seen as those of any other function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import function

import graphdebug
from graphdebug.model.event import Failure

apart = tf.function(experimental_attributes={"_noinline": True})


@apart
def dense(x, weight):
    y = tf.tanh(x @ weight)
    return y * tf.exp(-y) + 1.0


@apart
def turns(x):
    for _ in tf.range(3):
        x = tf.sin(x)
    return tf.cos(x) if tf.reduce_sum(x) > 0.0 else x


@apart
def noisy(x, weight):
    weight.assign_add(0.1 * tf.ones_like(weight))
    return x + tf.random.normal(tf.shape(x), seed=7)


@apart
def nested(x, weight):
    return dense(x, weight) * dense(x + 1.0, weight)


def trained(x, weight):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(dense(x, weight) ** 2)
    gradient = tape.gradient(loss, weight)
    weight.assign_sub(0.01 * gradient)
    return loss


def differentiated(x, weight):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(dense(x, weight))
    return tape.gradient(loss, weight)


def rounds(x, weight):
    for _ in tf.range(3):
        x = dense(x, weight)
    return x


PROGRAMS = {
    "once": lambda x, weight: dense(x, weight) + 1.0,
    "shared": lambda x, weight: turns(x) + turns(2.0 * x),
    "random": lambda x, weight: noisy(x, weight) + noisy(x, weight),
    "nested": lambda x, weight: nested(x, weight) + 1.0,
    "mapped": lambda x, weight: tf.map_fn(lambda row: dense(row[None], weight)[0], x),
    "switched": lambda x, weight: tf.switch_case(
        tf.cast(x[0, 0], tf.int32), [lambda: dense(x, weight), lambda: turns(x)]
    ),
    "trained": trained, "differentiated": differentiated, "rounds": rounds,
}  # fmt: skip


def program(name):
    """Return what calls a program that is traced anew, with a variable of its own."""
    weight = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    function = PROGRAMS[name] if name == "differentiated" else tf.function(PROGRAMS[name])
    return lambda: (function(tf.ones([2, 2]), weight), weight.read_value())


def _line(site):
    return Path(site.file).read_text().splitlines()[site.line - 1].strip()


def bits(call, steps=20):
    return [one.numpy().tobytes() for _ in range(steps) for one in call()]


@pytest.mark.parametrize("name", PROGRAMS)
def test_twenty_calls_are_bit_identical_and_every_op_is_known_to_have_run(name):
    tf.random.set_seed(3)
    plain = bits(program(name))
    for level in ("health", "values"):
        call = program(name)
        tf.random.set_seed(3)
        with graphdebug.record(level=level) as run:
            watched = bits(call)
        assert watched == plain, level
        assert not run.tool_errors
        assert not run.notices or {one.topic for one in run.notices} == {"retrace"}
        inside = [node for node in run.nodes if "PartitionedCall" in node.name]
        assert {node.execution for node in inside} <= {"executed", "fused", "removed"}
        assert any(node.execution == "executed" for node in inside) or name == "differentiated"


@pytest.mark.parametrize("level", ["health", "stats", "values"])
def test_each_call_has_its_own_numbers(level):
    @apart
    def doubled(x):
        return tf.exp(2.0 * x)

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def step(x):
        return doubled(x) + doubled(x[1:4] * 0.0)[:1]

    with graphdebug.record(level=level) as run:
        step(tf.constant([0.0, 1.0, 2.0, 3.0]))
        step(tf.constant([0.0, 500.0]))
    facts = [node.outputs[0] for node in run.nodes if node.op == "Exp"]
    assert [fact.shape for fact in facts] == [(4,), (3,), (2,), (1,)]
    assert [fact.finite for fact in facts] == [True, True, False, True]
    if level != "health":
        assert [fact.stats.max for fact in (*facts[:2], facts[3])] == pytest.approx([np.exp(6.0), 1.0, 1.0])


def test_the_line_that_made_a_nan_in_it_is_named():
    @apart
    def logs(x):
        return tf.math.log(x) * 2.0  # here

    step = tf.function(lambda x: tf.reduce_sum(logs(x) - logs(x)))
    with graphdebug.record() as run:
        step(tf.constant([0.0, 1.0]))
    assert _line(run.findings[0].site).endswith("# here")


def test_an_op_that_fails_in_it_is_named_with_its_operands():
    @apart
    def product(x, y):
        return tf.linalg.matmul(tf.sin(x), y)  # here

    signature = [tf.TensorSpec([None, None]), tf.TensorSpec([None, None])]
    step = tf.function(lambda x, y: product(x, y) + 1.0, input_signature=signature)
    with pytest.raises(tf.errors.InvalidArgumentError), graphdebug.record() as run:
        step(tf.ones([2, 3]), tf.ones([4, 5]))
    (failure,) = run.store.of_kind(Failure)
    assert _line(failure.site).endswith("# here")
    assert [operand.fact.shape for operand in failure.operands] == [(2, 3), (4, 5)]
    assert run.producer(failure.operands[0]).op == "Sin"
    assert run.producer(failure.operands[0]).outputs[0].finite


def test_gradients_are_tied_to_what_ran_forward_in_it():
    with graphdebug.record() as run:
        program("trained")()
    nodes = {node.seq: node for node in run.nodes}
    backward = [node for node in run.nodes if node.op in ("TanhGrad", "MatMul") and node.phase == "backward"]
    assert {nodes[node.forward].op for node in backward} == {"Tanh", "MatMul"}


def test_nothing_of_it_is_left_in_the_runtime():
    call = program("trained")
    call()
    before = set(context.context().list_function_names())
    with graphdebug.record():
        call()
    assert set(context.context().list_function_names()) <= before


@function.Defun(tf.float32, noinline=True)
def made_by_defun(x):
    return tf.tanh(x) * 2.0, x + 1.0


def test_functionsmade_by_defun_are_opened_too():
    step = tf.function(lambda x: made_by_defun(x)[0] * made_by_defun(x)[1])
    plain = step(tf.ones([2]))
    with graphdebug.record(level="stats") as run:
        assert step(tf.ones([2])).numpy().tobytes() == plain.numpy().tobytes()
    inside = [node for node in run.nodes if node.execution == "executed" and "/" in node.name]
    assert [node.op for node in inside] == ["Tanh", "Mul", "AddV2"]  # what nobody reads is removed
    assert [node.outputs[0].shape for node in inside] == [(2,)] * 3  # the ranks are not known beforehand
    assert not run.tool_errors
    assert not run.notices
