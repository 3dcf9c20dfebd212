"""Exceptions of eager ops, of functions being traced and of functions running: site, operands, producers."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

import graphdebug
from graphdebug.model.event import Failure

W = tf.Variable(tf.ones([3136, 10]), name="w")


def _dense(x):
    h = tf.reshape(x, [tf.shape(x)[0], -1])
    return tf.matmul(h, W)  # the product


def _failure(work, error):
    plain = recorded = None
    try:
        work()
    except error as caught:
        plain = caught
    with pytest.raises(error) as info, graphdebug.record() as run:
        work()
    recorded = info.value
    assert type(recorded) is type(plain)
    (failure,) = run.store.of_kind(Failure)
    assert run.tool_errors == []
    return run, failure, plain, recorded


def _line(failure):
    return Path(failure.site.file).read_text().splitlines()[failure.site.line - 1].strip()


def test_an_eager_mismatch_has_its_operands_with_their_producers():
    x = tf.ones([8, 100, 100])
    run, failure, plain, recorded = _failure(lambda: _dense(x), tf.errors.InvalidArgumentError)
    assert str(plain) == str(recorded)
    assert (failure.category, failure.op, failure.function) == ("shape", "MatMul", "matmul")
    assert [one.fact.shape for one in failure.operands] == [(8, 10000), (3136, 10)]
    assert run.producer(failure.operands[0]).op == "Reshape"
    assert failure.operands[1].name == "w"
    assert _line(failure).endswith("# the product")


def test_a_mismatch_while_tracing_has_its_operands_with_their_producers():
    function = tf.function(_dense)
    x = tf.ones([8, 100, 100])
    run, failure, _, _ = _failure(lambda: function(x), ValueError)
    assert (failure.category, failure.op, failure.mode) == ("shape", "MatMul", "function")
    assert failure.operands[1].name == "w"
    assert failure.operands[0].fact.shape[0] == 8
    assert run.producer(failure.operands[0]).op == "Reshape"
    assert run.producer(failure.operands[0]).execution == "inferred"
    assert _line(failure).endswith("# the product")
    assert not any("__autograph_generated" in site.file for site in failure.frames)


def test_a_function_that_raises_while_running_shows_real_shapes():
    function = tf.function(_dense, input_signature=[tf.TensorSpec(None)])
    x = tf.ones([8, 100, 100])
    run, failure, plain, recorded = _failure(lambda: function(x), tf.errors.InvalidArgumentError)
    assert str(plain).partition("\n")[0] == str(recorded).partition("\n")[0]
    assert str(plain).splitlines()[-1] == str(recorded).splitlines()[-1]
    assert (failure.category, failure.op, failure.mode) == ("shape", "MatMul", "function")
    assert [one.fact.shape for one in failure.operands] == [(8, 10000), (3136, 10)]
    producer = run.producer(failure.operands[0])
    assert (producer.op, producer.outputs[0].shape, producer.execution) == ("Reshape", (8, 10000), "executed")
    assert run.node(failure.node).execution == "raised"
    assert _line(failure).endswith("# the product")


def test_a_dtype_mix_up_names_both_types():
    half = tf.constant([1.0, 2.0], tf.float16)
    whole = tf.constant([1, 2])
    _, failure, _, _ = _failure(lambda: tf.add(half, whole), tf.errors.InvalidArgumentError)
    assert (failure.category, failure.function) == ("dtype", "add")
    assert [one.fact.dtype for one in failure.operands] == ["float16", "int32"]


def test_a_fold_that_fails_at_the_loss_shows_the_reshape_that_did_it():
    x, y = tf.ones([8, 98, 64]), tf.zeros([8], tf.int32)

    def fold():
        rows = tf.reshape(x, [-1, 784])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=rows)

    run, failure, _, _ = _failure(fold, ValueError)
    assert (failure.category, failure.family) == ("shape", "loss")
    assert [(one.role, one.fact.shape) for one in failure.operands] == [("labels", (8,)), ("logits", (64, 784))]
    assert run.producer(failure.operands[1]).attributes == {"target": [-1, 784]}


def test_an_assertion_in_a_function_is_told_by_its_own_words():
    @tf.function(input_signature=[tf.TensorSpec([None])])
    def positive(x):
        tf.debugging.assert_positive(x, message="x must be positive")
        return tf.sqrt(x)

    _, failure, _, _ = _failure(lambda: positive(tf.constant([-1.0])), tf.errors.InvalidArgumentError)
    assert failure.category == "assertion"
    assert failure.message.startswith("assertion failed: [x must be positive")
    assert "assert_positive" in _line(failure)


def test_assertions_in_eager_code_and_functions_name_the_check_and_what_it_looked_at():
    def work():
        shifted = tf.nn.relu(tf.constant([1.0, -1.0])) - 2.0
        tf.debugging.assert_positive(shifted, message="scores must be positive")

    for one in (work, tf.function(work)):
        run, failure, _, _ = _failure(one, tf.errors.InvalidArgumentError)
        finding = run.findings[0]
        assert finding.kind == "assertion"
        assert finding.text.startswith("graphdebug: assertion failed: scores must be positive, at ")
        assert "tf.debugging.assert_positive(shifted" in _line(failure)
        assert "Condition x > 0 did not hold" in finding.text
        lines = Path(__file__).read_text().splitlines()
        assert [lines[one.site.line - 1].strip() for one in finding.candidates][1].startswith("shifted = ")


def test_an_error_in_a_gradient_belongs_to_the_backward_phase():
    @tf.custom_gradient
    def odd(x):
        return x * 1.0, lambda dy: tf.matmul(dy, tf.ones([7, 7]))

    def work():
        x = tf.ones([2, 3])
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(odd(x))
        tape.gradient(loss, x)

    _, failure, _, _ = _failure(work, tf.errors.InvalidArgumentError)
    assert (failure.phase, failure.op) == ("backward", "MatMul")
