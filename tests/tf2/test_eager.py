"""Eager ops and tapes: what is recorded, and that nothing is changed by it."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorflow.python.eager import backprop, context, imperative_grad
from tensorflow.python.framework import op_callbacks

import graphdebug
from graphdebug.model.event import Gradient


def test_each_op_has_its_line_inputs_and_outputs():
    x = tf.ones([2, 3])
    w = tf.Variable(tf.ones([3, 4]), name="w")
    with graphdebug.record() as run, tf.name_scope("layer"):
        product = tf.matmul(x, w)
        tf.nn.relu(product)
    matmul, relu = run.step(0).nodes
    assert (matmul.op, matmul.function, matmul.family, matmul.mode) == ("MatMul", "matmul", "matmul", "eager")
    assert [one.origin for one in matmul.inputs] == ["argument", "variable"]
    assert [one.name for one in matmul.inputs] == ["", "w"]
    assert [one.role for one in matmul.inputs] == ["a", "b"]
    assert matmul.outputs[0].shape == (2, 4)
    assert matmul.outputs[0].finite is True
    assert matmul.module == "layer"
    assert matmul.site.file == __file__
    assert relu.site.line == matmul.site.line + 1
    assert relu.inputs[0].producer == matmul.seq


def test_a_reshape_is_a_view_with_its_target():
    with graphdebug.record() as run:
        tf.reshape(tf.ones([8, 98, 40]), [-1, 784])
    node = run.step(0).nodes[-1]
    assert node.attributes == {"target": [-1, 784]}
    assert node.outputs[0].alias_of == node.inputs[0].producer


def _sqrt_at_zero(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        shifted = x - 1.0
        root = tf.sqrt(shifted)
        loss = tf.reduce_mean(root + shifted)
    return tape.gradient(loss, x)


def test_a_backward_op_is_tied_to_its_forward_op():
    with graphdebug.record() as run:
        _sqrt_at_zero(tf.ones([4]))
    nodes = {node.seq: node for node in run.step(0).nodes}
    born = next(node for node in nodes.values() if any(fact.finite is False for fact in node.outputs))
    assert (born.op, born.function, born.phase) == ("SqrtGrad", "sqrt_backward", "backward")
    assert nodes[born.forward].op == "Sqrt"
    for node in nodes.values():
        if node.phase == "backward":
            assert node.forward is not None, node
            assert nodes[node.forward].phase == "forward"


def test_gradients_of_variables_are_named_and_of_all_tensors_on_request():
    w = tf.Variable([1.0, 2.0], name="w")

    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.exp(w * 3.0))
        return tape.gradient(loss, w)

    with graphdebug.record() as run:
        step()
    assert [(one.name, one.fact.shape) for one in run.store.of_kind(Gradient)] == [("w", (2,))]
    with graphdebug.record(gradients="all") as run:
        step()
    inner = [one for one in run.store.of_kind(Gradient) if one.node is not None]
    assert {run.node(one.node).op for one in inner} == {"Exp", "Mul"}


def test_a_masked_log_is_finite_forward_and_its_gradient_is_not():
    x = tf.constant([0.0, 1.0])
    with graphdebug.record() as run:
        with tf.GradientTape() as tape:
            tape.watch(x)
            safe = tf.where(x > 0, tf.math.log(x), 0.0)
            loss = tf.reduce_sum(safe)
        tape.gradient(loss, x)
    log = next(node for node in run.step(0).nodes if node.op == "Log")
    select = next(node for node in run.step(0).nodes if node.op == "SelectV2" and node.phase == "forward")
    assert log.outputs[0].finite is False
    assert log.outputs[0].stats.neg_inf == 1
    assert select.outputs[0].finite is True
    backward = [node for node in run.step(0).nodes if node.phase == "backward" and node.outputs]
    born = next(node for node in backward if node.outputs[0].finite is False)
    assert run.node(born.forward).op == "Log"


@pytest.mark.parametrize("level", ["shapes", "health", "stats", "values"])
def test_levels_hold_what_they_promise(level):
    with graphdebug.record(level=level) as run:
        tf.exp(tf.constant([0.0, 1.0]))
    fact = run.step(0).nodes[0].outputs[0]
    assert fact.shape == (2,)
    assert fact.finite is (None if level == "shapes" else True)
    assert (fact.stats is not None) == (level in ("stats", "values"))
    assert bool(fact.values) == (level == "values")


def test_a_step_ends_where_a_new_tape_follows_an_update():
    w = tf.Variable(1.0)
    with graphdebug.record(every=2) as run:
        for _ in range(4):
            with tf.GradientTape() as tape:
                loss = w * w
            w.assign_sub(0.1 * tape.gradient(loss, w))
    assert list(run.steps) == [0, 2]
    assert [node.phase for node in run.step(0).nodes][-1] == "optimizer"


def test_filters_choose_what_is_recorded():
    with graphdebug.record(ops=["exp"]) as run:
        tf.exp(tf.abs(tf.constant([1.0])))
    assert [node.op for node in run.step(0).nodes] == ["Exp"]
    with graphdebug.record(modules=["a*"]) as run:
        tf.exp(1.0)
        with tf.name_scope("a1"):
            tf.abs(1.0)
    assert [node.op for node in run.step(0).nodes] == ["Abs"]


def test_nothing_is_left_behind():
    def state():
        return (
            context.Context.call_function, imperative_grad.imperative_grad, backprop.GradientTape._push_tape,
            list(context.context().op_callbacks),
        )  # fmt: skip

    before = state()
    with graphdebug.record(level="values", gradients="all"):
        assert state() != before
        tf.exp(1.0)
    assert state() == before
    assert not op_callbacks.should_invoke_op_callbacks()


def test_a_variable_that_tensorflow_reads_unseen_is_known_by_name():
    w, v = tf.Variable([1.0, 2.0], name="w"), tf.Variable([3.0, 4.0], name="v")
    with graphdebug.record() as run:
        tf.sqrt(w)
        w * v
        tf.nn.relu(tf.ones([2]))
    root, product, relu = (node for node in run.nodes if node.op in ("Sqrt", "Mul", "Relu"))
    assert [(one.origin, one.name) for one in root.inputs] == [("variable", "w")]
    assert [(one.origin, one.name) for one in product.inputs] == [("variable", "w"), ("variable", "v")]
    assert relu.inputs[0].name == ""
