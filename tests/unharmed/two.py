"""Twenty steps of training in each way that TensorFlow 2 programs run."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

STEPS = 20


def data(step):
    random = np.random.RandomState(step)
    return tf.constant(random.randn(6, 4), tf.float32), tf.constant(random.randn(6, 2), tf.float32)


class Perceptron:
    """A small network with dropout, a momentum and an update by hand."""

    def __init__(self, repeated, rate=0.2):
        tf.random.set_seed(3)
        self.repeated, self.rate = repeated, rate
        self.first = tf.Variable(tf.random.stateless_normal([4, 8], [1, 2]), name="first")
        self.second = tf.Variable(tf.random.stateless_normal([8, 2], [3, 4]), name="second")
        self.variables = [self.first, self.second]
        self.momenta = [tf.Variable(tf.zeros(one.shape), name="momentum") for one in self.variables]

    def step(self, x, y):
        with tf.GradientTape() as tape:
            hidden = tf.nn.dropout(tf.tanh(tf.matmul(x, self.first)), self.rate)
            if self.repeated:
                for _ in tf.range(3):
                    if tf.reduce_sum(hidden) > 0.0:
                        hidden = tf.tanh(hidden * 0.9)
            loss = tf.reduce_mean(tf.math.squared_difference(tf.matmul(hidden, self.second), y))
        gradients = tape.gradient(loss, self.variables)
        clipped, _ = tf.clip_by_global_norm(gradients, 1.0)
        for one, momentum, gradient in zip(self.variables, self.momenta, clipped, strict=True):
            momentum.assign(0.9 * momentum + gradient)
            one.assign_sub(0.05 * momentum)
        return loss

    def state(self):
        return [one.numpy() for one in (*self.variables, *self.momenta)]


def loop(make, *, repeated=False, rate=0.2):
    def train(_folder):
        net = Perceptron(repeated, rate)
        step = make(net.step)
        found = [step(*data(number)).numpy() for number in range(STEPS)]
        return found, net.state(), tf.random.uniform([3]).numpy()  # what is drawn next

    return train


def traced_before(_folder):
    net = Perceptron(repeated=True)
    step = tf.function(net.step)
    before = [one.numpy() for one in net.variables]
    step(*data(0))
    for one, value in zip((*net.variables, *net.momenta), (*before, 0.0, 0.0), strict=True):
        one.assign(tf.zeros(one.shape) + value)

    def train():
        return [step(*data(number)).numpy() for number in range(STEPS)], net.state()

    return train


def pipeline_in_a_function(_folder):
    net = Perceptron(repeated=False)
    x, y = (tf.concat(parts, 0) for parts in zip(*map(data, range(STEPS)), strict=True))
    rows = tf.data.Dataset.from_tensor_slices((x, y)).map(lambda one, other: (one * 0.5, other + 1.0))
    rows = rows.shuffle(32, seed=5).batch(6)

    @tf.function
    def step(one, other):
        return net.step(one, other)

    return [step(one, other).numpy() for one, other in rows], net.state()


MODES = {
    "eager": loop(lambda step: step, repeated=True),
    "tf.function": loop(tf.function),
    "tf.function, loops and branches": loop(tf.function, repeated=True),
    "tf.function of a tf.data pipeline": pipeline_in_a_function,
    "jit_compile": loop(lambda step: tf.function(step, jit_compile=True), rate=0.0),  # XLA heeds no seed
}
BEFORE = {"tf.function traced before": traced_before}
"""Those that were set up before the recording: they return what is to be recorded."""
