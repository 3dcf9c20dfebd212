"""Five classic faults, each in an eager loop, a tf.function and Keras's fit: the marked line comes first."""

from __future__ import annotations

import inspect
from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug

MARK = "# <- fault"
ROWS = np.tile(np.array([[0.0, 1.0, 2.0, 3.0]], "float32"), (49, 1))
IMAGES = np.ones((49, 20, 20, 4), "float32")


def root_at_zero(x, w):
    scaled = x * tf.transpose(w)
    roots = tf.sqrt(scaled)  # <- fault: infinite slope
    return tf.reduce_sum(roots, 1, keepdims=True)


def log_of_zero(x, w):
    logs = tf.math.log(x)  # <- fault: minus infinity
    return tf.matmul(logs, w)


def masked_log(x, w):
    scaled = x * tf.transpose(w)
    logs = tf.where(scaled > 0, tf.math.log(scaled), 0.0)  # <- fault: the branch not taken has a gradient
    return tf.reduce_sum(logs, 1, keepdims=True)


def fold_of_a_bigger_batch(x, w):
    rows = tf.reshape(x, [-1, 784])  # <- fault: 49 images of 1600 numbers become 100 rows
    return tf.reduce_mean(rows, 1, keepdims=True) * w[0]


def two_dtypes(x, w):
    scale = tf.constant(np.full((4,), 0.5))  # <- fault: float64
    scaled = x * scale
    return tf.matmul(scaled, w)


class Body(keras.layers.Layer):
    def __init__(self, program):
        super().__init__()
        self.program = program

    def build(self, shape):
        self.w = self.add_weight(shape=(4, 1), initializer="ones")

    def call(self, x):
        return self.program(x, self.w)


def _step(program):
    w = tf.Variable(tf.ones((4, 1)))

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(program(x, w) - y))
        w.assign_sub(0.01 * tape.gradient(loss, w))

    return step


def _train(program, mode, x):
    y = np.zeros((len(x), 1), "float32")
    if mode == "fit":
        model = keras.Sequential([Body(program)])
        model.compile(keras.optimizers.SGD(0.01), "mse")
        model.fit(x, y, batch_size=len(x), verbose=0)
    else:
        step = _step(program)
        (tf.function(step) if mode == "function" else step)(tf.constant(x), tf.constant(y))


def _marked(program):
    lines, first = inspect.getsourcelines(program)
    (line,) = [number for number, text in enumerate(lines, first) if MARK in text]
    return line


MODES = pytest.mark.parametrize("mode", ["eager", "function", "fit"])


@MODES
@pytest.mark.parametrize("program", [root_at_zero, log_of_zero, masked_log, fold_of_a_bigger_batch, two_dtypes])
def test_the_line_where_it_was_born_is_named_first(program, mode):
    fails = program in (fold_of_a_bigger_batch, two_dtypes)
    x = IMAGES if program is fold_of_a_bigger_batch else ROWS
    refused = pytest.raises((tf.errors.OpError, ValueError, TypeError), match=r"shape|Dimensions|type")
    with refused if fails else nullcontext(), graphdebug.record() as run:
        _train(program, mode, x)
    first = run.findings[0]
    assert (first.site.file, first.site.line) == (__file__, _marked(program)), first.text
    assert len(first.text.splitlines()) <= 15
    assert run.tool_errors == []


@MODES
def test_a_masked_log_is_not_accused_in_forward_alone(mode):
    def forward():
        if mode == "fit":
            return keras.Sequential([Body(masked_log)]).predict(ROWS, verbose=0)
        work = tf.function(masked_log) if mode == "function" else masked_log
        return work(tf.constant(ROWS), tf.ones((4, 1))).numpy()

    with graphdebug.record() as run:
        assert np.isfinite(forward()).all()
    assert any(node.op == "Log" for node in run.nodes)
    assert [one.text for one in run.findings] == []
