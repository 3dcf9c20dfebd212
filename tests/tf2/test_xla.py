"""Functions that XLA compiles: computed once more where it matters, never changed, never wrongly accused."""

from __future__ import annotations

import linecache

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug


def line_of(site):
    return linecache.getline(site.file, site.line).strip()


def trainer(start):
    weight = tf.Variable(start, name="weight")

    @tf.function(jit_compile=True)
    def step(x):
        with tf.GradientTape() as tape:
            scores = tf.matmul(x, weight)
            roots = tf.sqrt(scores)  # infinite slope at 0
            loss = tf.reduce_mean(roots)
        grad = tape.gradient(loss, weight)
        weight.assign_sub(0.1 * grad)
        return loss

    return step, weight


def test_a_compiled_function_is_listed_and_said_to_be_unseen():
    @tf.function(jit_compile=True)
    def double(x):
        return tf.exp(x) * 2.0

    x = tf.ones([2, 2])
    with graphdebug.record() as run:
        double(x)
    assert [node.op for node in run.step(0).nodes] == ["Exp", "Mul"]
    assert {node.execution for node in run.step(0).nodes} == {"inferred"}
    (notice,) = [one for one in run.notices if one.topic == "blind"]
    assert notice.text == (
        "double is compiled by XLA (jit_compile=True) and can't be looked into: its ops are listed with "
        "inferred shapes; if what it gives is not finite, it is computed once more op by op; "
        "jit_compile=False shows all that runs"
    )
    assert run.nodes[0].outputs[0].finite is None


def test_what_is_not_finite_is_traced_to_its_line():
    @tf.function(jit_compile=True)
    def loss(x):
        logs = tf.math.log(x)
        return tf.reduce_sum(logs * 2.0)

    with graphdebug.record() as run:
        loss(tf.constant([1.0, 2.0]))
        loss(tf.constant([0.0, 1.0]))
    assert run.tool_errors == []
    assert line_of(run.findings[0].site) == "logs = tf.math.log(x)"
    logs = [node for node in run.nodes if node.op == "Log"]
    assert [node.outputs[0].finite for node in logs] == [None, False]
    (notice,) = [one for one in run.notices if one.topic == "replay"]
    assert "computed once more" in notice.text
    assert "not all" not in notice.text


def test_the_birth_is_named_though_the_update_has_been_applied():
    step, weight = trainer([[0.0], [0.0]])
    with graphdebug.record() as run:
        for _ in range(3):
            step(tf.ones([2, 2]))
    assert not np.isfinite(weight.numpy()).all()
    finding = run.findings[0]
    assert line_of(finding.site) == "roots = tf.sqrt(scores)  # infinite slope at 0"
    born = run.node(finding.evidence[0])
    assert (born.op, born.phase, born.step) == ("SqrtGrad", "backward", 0)
    assert len([one for one in run.notices if one.topic == "replay"]) == 1, "later steps only pass it on"


def test_statistics_are_computed_where_they_are_asked_for():
    step, _ = trainer([[4.0], [5.0]])
    with graphdebug.record(level="stats") as run:
        step(tf.ones([2, 2]))
    by_op = {node.op: node for node in run.nodes if node.phase == "forward"}
    assert by_op["Sqrt"].outputs[0].stats.max == 3.0, "with the weights of before the update"
    assert run.tool_errors == []


def test_tf_debugging_raises_where_it_was_born():
    step, _ = trainer([[0.0], [0.0]])
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match=r"SqrtGrad.*Tensor had Inf values"),
        graphdebug.record(tf_debugging=True) as run,
    ):
        step(tf.ones([2, 2]))
    assert line_of(run.findings[0].site) == "roots = tf.sqrt(scores)  # infinite slope at 0"


def test_a_shape_that_xla_refuses_has_its_line_and_operands():
    @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([None, None])])
    def layer(x):
        hidden = tf.nn.relu(x)
        return tf.matmul(hidden, tf.ones([3, 2]))

    with pytest.raises(tf.errors.InvalidArgumentError), graphdebug.record() as run:
        layer(tf.ones([2, 5]))
    (failure,) = run.failures
    assert (failure.category, failure.op) == ("shape", "MatMul")
    assert [one.fact.shape for one in failure.operands] == [(2, 5), (3, 2)]
    assert line_of(failure.site) == "return tf.matmul(hidden, tf.ones([3, 2]))"


def test_what_can_not_be_computed_again_is_said():
    @tf.function(jit_compile=True)
    def loop(x):
        for _ in tf.range(2):
            x = tf.math.log(x)
        return x

    with graphdebug.record() as run:
        loop(tf.constant([0.0]))
    assert run.tool_errors == []
    (notice,) = [one for one in run.notices if one.topic == "replay"]
    assert "not all could be: while" in notice.text.lower()


def test_a_compiled_fit_names_the_users_layer():
    class Root(keras.layers.Layer):
        def call(self, x):
            shifted = x - 100.0
            return tf.sqrt(shifted)

    def fit():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Dense(3), Root()])
        model.compile("sgd", "mse", jit_compile=True)
        return model.fit(np.ones((8, 2)), np.ones((8, 3)), batch_size=4, epochs=2, verbose=0).history["loss"]

    plain = fit()
    with graphdebug.record() as run:
        recorded = fit()
    np.testing.assert_array_equal(plain, recorded)
    assert run.tool_errors == []
    assert line_of(run.findings[0].site) == "return tf.sqrt(shifted)"
    assert run.node(run.findings[0].evidence[0]).step == 0
