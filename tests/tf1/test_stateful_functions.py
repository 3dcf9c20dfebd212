"""Functions in sessions that write variables or draw random numbers: what is seen of them; nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import function

import graphdebug

tf1 = tf.compat.v1
X = np.ones((2, 2), "float32")


def _updating(x, v):
    @tf.function
    def update(x):
        before = tf.sin(v)
        y = tf.tanh(x @ v)
        v.assign_add(0.1 * y)
        return tf.cos(v) + before

    return update(x)


def _random(x, _):
    return tf.function(lambda x: tf.tanh(x) + tf.random.uniform([2, 2], seed=5))(x)


def _random_apart(x, _):
    apart = tf.function(experimental_attributes={"_noinline": True})
    return apart(lambda x: tf.tanh(x) + tf.random.uniform([2, 2], seed=5))(x)


def _random_by_defun(x, _):
    @function.Defun(tf.float32, noinline=True)
    def apart(x):
        return tf.tanh(x) + tf.random.uniform([2, 2], seed=5)

    return apart(x)


def _random_branch(x, _):
    return tf.cond(tf.reduce_sum(x) > 0.0, lambda: x + tf.random.uniform([2, 2], seed=5), lambda: x)


def _steps(build, level=None):
    """Return the bits of 20 runs, recorded from the third on, and the recording."""
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(3)
        x = tf1.placeholder(tf.float32, [None, 2])
        v = tf1.get_variable("v", initializer=X, use_resource=True)
        out = tf.reduce_sum(build(x, v) * 2.0)
        session.run(tf1.global_variables_initializer())
        bits = [session.run(out, {x: X}).tobytes() for _ in range(2)]
        if level is None:
            return bits + [session.run(out, {x: X}).tobytes() for _ in range(18)], None
        with graphdebug.record(level=level) as run:
            bits += [session.run(out, {x: X}).tobytes() for _ in range(18)]
        return bits, run


@pytest.mark.parametrize("build", [_updating, _random, _random_apart, _random_by_defun, _random_branch])
def test_twenty_runs_are_bit_identical_when_recording_begins_among_them(build):
    plain, _ = _steps(build)
    assert len(set(plain)) == 20
    for level in ("health", "values"):
        watched, run = _steps(build, level)
        assert watched == plain, level
        assert not run.tool_errors


def test_a_function_that_writes_variables_is_opened_with_the_numbers_it_had():
    _, run = _steps(_updating, "values")
    value = X.astype("float64")
    for _ in range(2):
        value = value + 0.1 * np.tanh(X @ value)
    for step in range(3):
        seen = {node.op: node.outputs[0].values for node in run.step(step).nodes if node.outputs}
        assert seen["Sin"] == pytest.approx(np.sin(value).ravel(), rel=1e-5)
        value = value + 0.1 * np.tanh(X @ value)
        assert seen["Cos"] == pytest.approx(np.cos(value).ravel(), rel=1e-5)
    assert not run.notices


def test_the_ops_of_a_random_function_are_listed_with_their_lines():
    _, run = _steps(_random, "stats")
    nodes = [node for node in run.step(1).nodes if node.name.startswith("StatefulPartitionedCall/")]
    assert {node.execution for node in nodes} == {"inferred"}
    assert {"Tanh", "RandomUniform"} <= {node.op for node in nodes}
    assert all(node.site is not None and node.site.file == __file__ for node in nodes)
    (notice,) = run.notices
    assert "is random" in notice.text


def test_random_numbers_that_would_begin_anew_are_not_probed_and_a_notice_says_so():
    _, run = _steps(_random_apart, "stats")
    assert {node.execution for node in run.nodes} == {"inferred"}
    assert ["would begin anew" in notice.text for notice in run.notices] == [True]


@function.Defun(tf.float32, noinline=True)
def doubled(x):
    return 2.0 * tf.tanh(x)


def test_functions_made_by_defun_are_opened_in_each_other_too():
    @function.Defun(tf.float32, noinline=True)
    def outer(x):
        return doubled(x) + 1.0

    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [2, 2])
        loss = tf.reduce_mean(outer(x) * doubled(x))
        gradient = tf.gradients(loss, x)
        plain = session.run([loss, gradient], {x: X})
        with graphdebug.record(level="values") as run:
            watched = session.run([loss, gradient], {x: X})
    assert [one.tobytes() for one in tf.nest.flatten(watched)] == [
        one.tobytes() for one in tf.nest.flatten(plain)
    ]
    seen = [node for node in run.nodes if node.op == "Tanh"]
    assert [node.execution for node in seen] == ["executed", "executed"]
    assert [node.outputs[0].values for node in seen] == [pytest.approx(np.tanh(X).ravel(), rel=1e-6)] * 2
    assert not run.tool_errors
