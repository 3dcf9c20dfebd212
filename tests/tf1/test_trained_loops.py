"""Loops of control flow v2 that are trained: each round, forward and backward, and what goes wrong in one."""

from __future__ import annotations

import linecache
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1
ROUNDS = 3


def line_of(site):
    return linecache.getline(site.file, site.line).strip()


def plain_loop(x, kernel):
    def body(i, state):
        scores = tf.matmul(state, kernel)
        return i + 1, tf.tanh(scores)

    return tf.while_loop(lambda i, _: i < ROUNDS, body, [0, x])[1]


def with_a_tensor_array(x, kernel):
    def body(i, state, states):
        scores = tf.matmul(state, kernel)
        state = tf.tanh(scores)
        return i + 1, state, states.write(i, state)

    start = [0, x, tf.TensorArray(tf.float32, ROUNDS)]
    return tf.while_loop(lambda i, *_: i < ROUNDS, body, start)[2].stack()


def in_a_function(x, kernel):
    @tf.function
    def repeated(state):
        for _ in tf.range(ROUNDS):
            scores = tf.matmul(state, kernel)
            state = tf.tanh(scores)
        return state

    return repeated(x)


def train(loop, steps, value=0.5):
    """Train a loop; return the losses and the kernel."""
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 4], name="x")
        kernel = tf1.get_variable("kernel", [4, 4], initializer=tf1.constant_initializer(0.25))
        loss = tf.reduce_mean(tf.square(loop(x, kernel) - 1.0))
        update = tf1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
        session.run(tf1.global_variables_initializer())
        feeds = [{x: np.full((2, 4), value + step, "f")} for step in range(steps)]
        found = [session.run([loss, update], feed)[0].tobytes() for feed in feeds]
        return [*found, session.run(kernel).tobytes()]


@pytest.mark.parametrize("loop", [plain_loop, with_a_tensor_array, in_a_function])
def test_each_round_is_recorded_forward_and_backward_and_nothing_changes(loop):
    plain = train(loop, 4)
    with graphdebug.record(level="stats") as run:
        assert train(loop, 4) == plain
    assert not run.tool_errors
    nodes = [node for step in run.steps for node in run.step(step).nodes if node.op in ("Tanh", "TanhGrad")]
    assert Counter(node.op for node in nodes) == {"Tanh": 4 * ROUNDS, "TanhGrad": 4 * ROUNDS}
    lines = {line_of(node.site) for node in nodes if node.op == "Tanh"}
    assert lines <= {"return i + 1, tf.tanh(scores)", "state = tf.tanh(scores)"}
    assert all(node.outputs[0].stats.max is not None for node in nodes)


@pytest.mark.parametrize("loop", [plain_loop, with_a_tensor_array, in_a_function])
def test_a_backward_round_belongs_to_its_forward_round(loop):
    with graphdebug.record(level="stats") as run:
        train(loop, 1)
    forward = [node.seq for node in run.nodes if node.op == "Tanh"]
    backward = [node for node in run.nodes if node.op == "TanhGrad"]
    assert [node.forward for node in backward] == forward[::-1]
    assert {node.function for node in backward} == {"tanh_backward"}


def test_numbers_are_those_of_the_round():
    with graphdebug.record(level="stats") as run:
        train(plain_loop, 1)
    state, expected = np.full((2, 4), 0.5, "f"), []
    for _ in range(ROUNDS):
        state = np.tanh(state @ np.full((4, 4), 0.25, "f"))
        expected.append(state.max())
    found = [node.outputs[0].stats.max for node in run.nodes if node.op == "Tanh"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_an_infinite_slope_in_a_round_is_told_by_its_line():
    def roots(x, kernel):
        def body(i, state):
            root = tf.sqrt(tf.matmul(state, kernel * 0.0))  # no slope at 0
            return i + 1, state + root

        return tf.while_loop(lambda i, _: i < ROUNDS, body, [0, x])[1]

    with graphdebug.record() as run:
        train(roots, 1)
    finding = run.findings[0]
    assert line_of(finding.site) == "root = tf.sqrt(tf.matmul(state, kernel * 0.0))  # no slope at 0"
    assert run.node(finding.evidence[0]).phase == "backward"


def test_an_op_that_fails_in_a_round_is_told_with_what_it_was_given():
    def unfitting(x, kernel):
        rows = tf1.placeholder_with_default(np.ones((3, 4), "f"), [None, 4])

        def body(i, state):
            scores = tf.matmul(state, kernel)
            return i + 1, tf.add(scores, rows)  # two rows and three

        shapes = [tf.TensorShape([]), tf.TensorShape([None, 4])]
        return tf.while_loop(lambda i, _: i < ROUNDS, body, [0, x], shape_invariants=shapes)[1]

    with pytest.raises(tf.errors.InvalidArgumentError), graphdebug.record() as run:
        train(unfitting, 1)
    (failure,) = run.failures
    assert (failure.category, failure.op) == ("shape", "AddV2")
    assert [one.fact.shape for one in failure.operands] == [(2, 4), (3, 4)]
    assert line_of(failure.site) == "return i + 1, tf.add(scores, rows)  # two rows and three"
    assert not run.tool_errors
