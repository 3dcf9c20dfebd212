"""Networks as TF1 programs build them: what several tests of sessions train."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1


@dataclass
class Network:
    """A graph that was built, and how to train it."""

    fetches: list[Any]
    """What a step asks for: losses and train ops."""
    feeds: Callable[[int], dict[Any, Any]]
    """Gives the feeds of a step."""


def cnn() -> Network:
    images = tf1.placeholder(tf.float32, [None, 12, 12, 1], name="images")
    labels = tf1.placeholder(tf.int64, [None], name="labels")
    kernel = tf1.get_variable("kernel", [5, 5, 1, 4])
    bias = tf1.get_variable("bias", [4], initializer=tf1.zeros_initializer())
    weight = tf1.get_variable("weight", [6 * 6 * 4, 3])
    hidden = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias))
    hidden = tf.nn.max_pool2d(hidden, 2, 2, "SAME")
    logits = tf.matmul(tf.reshape(hidden, [-1, 6 * 6 * 4]), weight)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), labels), tf.float32))
    train = tf1.train.AdamOptimizer(0.01).minimize(loss)
    return Network(
        [loss, accuracy, train], lambda step: {images: _random(step, 4, 12, 12, 1), labels: [0, 1, 2, 1]}
    )


def deeper_cnn() -> Network:
    images = tf1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
    labels = tf1.placeholder(tf.float32, [None, 5], name="labels")
    hidden, updates = images, []
    for number, width in enumerate((4, 8, 8)):
        with tf1.variable_scope(f"block{number}"):
            kernel = tf1.get_variable("kernel", [3, 3, hidden.shape[3], width])
            scale = tf1.get_variable("scale", [width], initializer=tf1.ones_initializer())
            offset = tf1.get_variable("offset", [width], initializer=tf1.zeros_initializer())
            moving = tf1.get_variable("moving", [width], initializer=tf1.zeros_initializer(), trainable=False)
            before = hidden
            hidden = tf.nn.conv2d(hidden, kernel, 1, "SAME")
            hidden, mean, _ = tf1.nn.fused_batch_norm(hidden, scale, offset, is_training=True)
            updates.append(tf1.assign(moving, moving * 0.9 + mean * 0.1))
            hidden = tf.nn.relu(hidden + before if before.shape[3] == width else hidden)
    pooled = tf1.nn.dropout(tf.reduce_mean(hidden, [1, 2]), rate=0.3)
    logits = tf.matmul(pooled, tf1.get_variable("weight", [8, 5]))
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    loss += 1e-3 * tf.add_n([tf.nn.l2_loss(one) for one in tf1.trainable_variables()])
    step = tf1.train.get_or_create_global_step()
    rate = tf1.train.exponential_decay(0.1, step, 10, 0.9, staircase=True)
    with tf.control_dependencies(updates):
        train = tf1.train.MomentumOptimizer(rate, 0.9, use_nesterov=True).minimize(loss, global_step=step)
    return Network(
        [loss, train, *updates],
        lambda step: {images: _random(step, 5, 8, 8, 3), labels: np.eye(5, dtype="f")},
    )


def lstm() -> Network:
    """A classifier of sequences, its LSTM cell written by hand inside a while loop."""
    words = tf1.placeholder(tf.int32, [None, None], name="words")
    labels = tf1.placeholder(tf.float32, [None, 1], name="labels")
    table = tf1.get_variable("table", [20, 4])
    kernel = tf1.get_variable("kernel", [4 + 6, 4 * 6])
    bias = tf1.get_variable("bias", [4 * 6], initializer=tf1.zeros_initializer())
    inputs = tf.transpose(tf.nn.embedding_lookup(table, words), [1, 0, 2])
    length, batch = tf.shape(inputs)[0], tf.shape(inputs)[1]

    def body(i, cell, state):
        gates = tf.matmul(tf.concat([inputs[i], state], 1), kernel) + bias
        give, new, forget, out = tf.split(gates, 4, 1)
        cell = cell * tf.sigmoid(forget + 1.0) + tf.sigmoid(give) * tf.tanh(new)
        return i + 1, cell, tf.tanh(cell) * tf.sigmoid(out)

    zeros = tf.zeros([batch, 6])
    shapes = [tf.TensorShape([]), tf.TensorShape([None, 6]), tf.TensorShape([None, 6])]
    _, _, state = tf.while_loop(lambda i, *_: i < length, body, [0, zeros, zeros], shapes)
    logits = tf.matmul(state, tf1.get_variable("weight", [6, 1]))
    loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
    optimizer = tf1.train.AdamOptimizer(0.01)
    gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
    clipped, norm = tf.clip_by_global_norm(gradients, 1.0)
    train = optimizer.apply_gradients(zip(clipped, variables, strict=True))
    return Network(
        [loss, norm, train],
        lambda step: {
            words: np.random.RandomState(step).randint(0, 20, (3, 4 + step % 2)), labels: [[0], [1], [1]],
        },
    )  # fmt: skip


def word2vec() -> Network:
    """Skip-gram vectors with noise-contrastive estimation."""
    center = tf1.placeholder(tf.int32, [None], name="center")
    context = tf1.placeholder(tf.int64, [None, 1], name="context")
    table = tf1.get_variable("table", [30, 8], initializer=tf1.random_uniform_initializer(-1, 1))
    weight = tf1.get_variable("nce_weight", [30, 8])
    bias = tf1.get_variable("nce_bias", [30], initializer=tf1.zeros_initializer())
    vectors = tf.nn.embedding_lookup(table, center)
    sampled = tf.random.log_uniform_candidate_sampler(context, 1, 5, True, 30, seed=3)
    loss = tf.reduce_mean(tf1.nn.nce_loss(weight, bias, context, vectors, 5, 30, sampled_values=sampled))
    normed = table / tf.sqrt(tf.reduce_sum(tf.square(table), 1, keepdims=True))
    similar = tf.matmul(tf.nn.embedding_lookup(normed, [1, 2]), normed, transpose_b=True)
    with tf.control_dependencies([similar]):  # else it races with the update
        train = tf1.train.GradientDescentOptimizer(0.5).minimize(loss)

    def feeds(step):
        random = np.random.RandomState(step)
        return {center: random.randint(0, 30, 6), context: random.randint(0, 30, (6, 1))}

    return Network([loss, train, similar], feeds)


def gan() -> Network:
    """A generator and a discriminator, each with an optimizer for its own variables."""
    real = tf1.placeholder(tf.float32, [None, 5], name="real")
    noise = tf1.placeholder(tf.float32, [None, 3], name="noise")

    def dense(x, width, name):
        with tf1.variable_scope(name, reuse=tf1.AUTO_REUSE):
            weight = tf1.get_variable("weight", [x.shape[1], width])
            bias = tf1.get_variable("bias", [width], initializer=tf1.zeros_initializer())
            return tf.matmul(x, weight) + bias

    def generator(z):
        with tf1.variable_scope("generator"):
            return tf.tanh(dense(tf.nn.relu(dense(z, 8, "hidden")), 5, "out"))

    def discriminator(x):
        with tf1.variable_scope("discriminator", reuse=tf1.AUTO_REUSE):
            return dense(tf.nn.leaky_relu(dense(x, 8, "hidden")), 1, "out")

    def loss_of(logits, target):
        labels = tf.ones_like(logits) * target
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))

    fake = generator(noise)
    on_real, on_fake = discriminator(real), discriminator(fake)
    d_loss, g_loss = loss_of(on_real, 0.9) + loss_of(on_fake, 0.0), loss_of(on_fake, 1.0)
    d_train = tf1.train.AdamOptimizer(1e-2).minimize(
        d_loss, var_list=tf1.trainable_variables("discriminator"), name="d_train"
    )
    with tf.control_dependencies([d_train]):
        g_train = tf1.train.RMSPropOptimizer(1e-2).minimize(
            g_loss, var_list=tf1.trainable_variables("generator"), name="g_train"
        )
    return Network(
        [d_loss, g_loss, d_train, g_train],
        lambda step: {real: _random(step, 4, 5) * 0.5, noise: _random(step + 100, 4, 3)},
    )


NETWORKS = {one.__name__: one for one in (cnn, deeper_cnn, lstm, word2vec, gan)}
WITH_LOOPS = ("lstm",)
CASES = [*((name, "v2") for name in NETWORKS), *((name, "v1") for name in WITH_LOOPS)]
"""Networks with the control flow they are built with."""


@contextlib.contextmanager
def control_flow(version: str) -> Iterator[None]:
    """Build loops and branches of one version."""
    if version == "v1":
        tf1.disable_control_flow_v2()
    try:
        yield
    finally:
        tf1.enable_control_flow_v2()


@contextlib.contextmanager
def built(name: str, version: str = "v2", *, references: bool = False) -> Iterator[Network]:
    """Build a network in a graph of its own, its numbers drawn from one seed."""
    scope = tf1.variable_scope("", use_resource=not references)
    with control_flow(version), tf.Graph().as_default(), scope:
        tf1.set_random_seed(7)
        yield NETWORKS[name]()


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).randn(*shape).astype("f")
