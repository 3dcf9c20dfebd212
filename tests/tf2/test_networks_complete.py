"""Trained networks: every node that TensorFlow runs for a step is in the log, and every gradient is tied."""

from __future__ import annotations

import re
from collections import defaultdict

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tests.tf2.runtime import optimized_graphs

import graphdebug
from graphdebug.backends.tensorflow.two.optimized import plain_path

PLUMBING = {
    "Const", "Identity", "IdentityN", "NoOp", "_Arg", "_Retval", "ReadVariableOp", "Switch", "Merge", "Enter",
    "Exit", "NextIteration", "LoopCond", "_SwitchN",
}  # fmt: skip


def _transformer():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8)(tokens)
    x = layers.Dropout(0.1)(layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x)))
    x = layers.LayerNormalization()(x + layers.Dense(8, activation="gelu")(x))
    model = keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adamw", loss, jit_compile=False)
    draw = np.random.default_rng(0)
    tokens, labels = draw.integers(0, 20, (8, 6)), draw.integers(0, 3, 8)
    return lambda: model.train_on_batch(tokens, labels)


def _translator():
    encoded = keras.Input((5, 3))
    _, *state = layers.LSTM(6, return_state=True)(encoded)
    decoded = keras.Input((4, 3))
    x = layers.LSTM(6, return_sequences=True)(decoded, initial_state=state)
    model = keras.Model([encoded, decoded], layers.TimeDistributed(layers.Dense(3))(x))
    model.compile("rmsprop", "mse", jit_compile=False)
    draw = np.random.default_rng(0)
    data = [draw.normal(size=(4, count, 3)) for count in (5, 4, 4)]
    return lambda: model.train_on_batch(data[:2], data[2])


def _adversaries():
    maker = keras.Sequential([layers.Dense(16), layers.LeakyReLU(), layers.Dense(8)])
    judge = keras.Sequential([layers.Dense(16), layers.LeakyReLU(), layers.Dense(1)])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    optimizers = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
    real = tf.constant(np.random.default_rng(0).normal(size=(8, 8)), tf.float32)

    def descend(model, optimizer, tape, value):
        weights = model.trainable_weights
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))

    @tf.function
    def step():
        noise = tf.random.normal((8, 4))
        with tf.GradientTape() as tape:
            said = judge(tf.concat([maker(noise), real], 0))
            told = loss(tf.concat([tf.ones((8, 1)), tf.zeros((8, 1))], 0), said)
        descend(judge, optimizers[0], tape, told)
        with tf.GradientTape() as tape:
            fooled = loss(tf.zeros((8, 1)), judge(maker(noise)))
        descend(maker, optimizers[1], tape, fooled)
        return fooled

    return step


def _was_rewritten(path, said):
    """Whether a node that the optimizer has made stands for one that is said to be fused."""
    one = re.sub(r"ArithmeticOptimizer/AddOpsRewrite_(Leaf_\d+_)?|/unary_ops_composition$", "", path)
    return one != path and "fused" in said[one]


@pytest.mark.parametrize("build", [_transformer, _translator, _adversaries])
def test_every_node_that_runs_is_in_the_log_and_every_gradient_is_tied(build):
    keras.utils.set_random_seed(1)
    keras.backend.clear_session()
    work = build()
    with graphdebug.record(level="health") as run:
        work()
    said = defaultdict(set)
    nodes = [node for node in run.nodes if node.mode == "function"]
    for node in nodes:
        said[node.name].add(node.execution)
    ran = [plain_path(node.name) for node in max(optimized_graphs(work), key=len) if node.op not in PLUMBING]
    assert len(ran) > 100
    unsaid = [path for path in ran if not said[path] & {"executed", "fused"} and not _was_rewritten(path, said)]
    assert unsaid == []
    assert {node.execution for node in nodes} <= {"executed", "fused", "removed"}
    assert all(node.site is not None for node in nodes)
    # the sum of a variable's gradients is of no op, and what a loop was given is kept for itself
    untied = {node.op for node in nodes if node.phase == "backward" and node.forward is None}
    assert untied <= {"AddN", "ZerosLike", "TensorListPushBack"}
    assert not run.tool_errors


def test_what_pfor_takes_apart_is_tied_to_the_op_that_it_is_the_gradient_of():
    @tf.function
    def jacobian(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.tanh(x @ tf.ones([2, 2]))
        return tape.jacobian(y, x)

    with graphdebug.record() as run:
        jacobian(tf.ones([2, 2]))
    ops = {node.seq: node.op for node in run.nodes}
    tied = {ops.get(node.forward) for node in run.nodes if "/TanhGrad/pfor/" in node.name}
    assert tied == {"Tanh"}


def test_what_a_loop_keeps_of_a_node_is_tied_to_that_node_of_the_same_round():
    @tf.function
    def trained(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in tf.range(3):
                y = tf.sin(2.0 * y)
        return tape.gradient(y, x)

    with graphdebug.record() as run:
        trained(tf.ones([2]))
    nodes = {node.seq: node for node in run.nodes}
    pushed = [node for node in run.nodes if node.op == "TensorListPushBack" and node.forward is not None]
    assert len(pushed) == 3
    assert [nodes[node.forward].name for node in pushed] == ["while/body/while/mul"] * 3
    assert len({node.forward for node in pushed}) == 3
