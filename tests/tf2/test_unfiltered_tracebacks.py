"""A failure is told the same whether or not TensorFlow and Keras take their own frames out of tracebacks."""

from __future__ import annotations

import contextlib
import linecache
import traceback

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug


@contextlib.contextmanager
def _filtering(on):
    before = tf.debugging.is_traceback_filtering_enabled(), keras.config.is_traceback_filtering_enabled()
    switch = (
        (tf.debugging.disable_traceback_filtering, keras.config.disable_traceback_filtering),
        (tf.debugging.enable_traceback_filtering, keras.config.enable_traceback_filtering),
    )
    try:
        for one in switch[on]:
            one()
        yield
    finally:
        for which, was in zip((0, 1), before, strict=True):
            switch[was][which]()


@tf.custom_gradient
def _doubled(x):
    def backward(upstream):
        return tf.reshape(upstream, [7])

    return x * 2.0, backward


def _gradient_of_the_users_own():
    @tf.function
    def train(w):
        with tf.GradientTape() as tape:
            tape.watch(w)
            if tf.reduce_sum(w) > 0.0:
                w = w + 1.0
            loss = tf.reduce_sum(_doubled(w))
        return tape.gradient(loss, w)

    train(tf.ones([3]))


def _projected(x):
    return tf.matmul(x, tf.ones([3, 2]))


def _loop():
    @tf.function
    def inner(x):
        if tf.reduce_sum(x) > 0.0:
            x = _projected(x)
        return x

    @tf.function
    def outer(x):
        for _ in tf.range(2):
            x = inner(x)
        return x

    outer(tf.ones([4, 4]))


class _Branching(keras.layers.Layer):
    def call(self, x):
        if tf.reduce_sum(x) > 0.0:  # Keras converts no layer by AutoGraph
            x = x * 2.0
        return x


def _layer_that_needs_a_number():
    _fit([keras.layers.Dense(3), _Branching()], width=3)


def _loss_of_another_width():
    _fit([keras.layers.Dense(3)], width=2)


def _fit(layers, width):
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 3), "f"), np.ones((8, width), "f"), verbose=0)


def _told(program, *, filtering):
    with _filtering(filtering), pytest.raises(Exception) as caught, graphdebug.record() as run:  # noqa: PT011
        program()
    assert not run.tool_errors
    (failure,) = run.failures
    frames = [(site.file, site.line) for site in failure.frames]
    assert "__autograph_generated" not in str(failure)
    return caught.type, failure, frames, run.findings


@pytest.mark.parametrize(
    ("program", "line"),
    [
        (_gradient_of_the_users_own, "return tf.reshape(upstream, [7])"),
        (_loop, "return tf.matmul(x, tf.ones([3, 2]))"),
        (_layer_that_needs_a_number, "if tf.reduce_sum(x) > 0.0:"),
        (_loss_of_another_width, "_fit([keras.layers.Dense(3)], width=2)"),
    ],
)
def test_the_report_is_the_same(program, line):
    kind, filtered, frames, findings = _told(program, filtering=True)
    assert linecache.getline(findings[0].site.file, findings[0].site.line).strip().startswith(line)
    assert frames[-1] == (filtered.frames[-1].file, filtered.frames[-1].line)
    whole, failure, all_frames, others = _told(program, filtering=False)
    assert (whole, failure.op, failure.mode, failure.phase, all_frames) == (
        kind, filtered.op, filtered.mode, filtered.phase, frames,
    )  # fmt: skip
    assert [(one.kind, one.site.line) for one in others] == [(one.kind, one.site.line) for one in findings]


@pytest.mark.parametrize("filtering", [True, False])
@pytest.mark.parametrize("program", [_gradient_of_the_users_own, _layer_that_needs_a_number])
def test_the_traceback_holds_what_it_holds_without_a_recording(program, filtering):
    def shown(recording):
        with _filtering(filtering), pytest.raises(Exception) as caught, recording:  # noqa: PT011
            program()
        entries = [(one.filename, one.lineno, one.name) for one in traceback.extract_tb(caught.tb)[1:]]
        return [one if "__autograph_generated" not in one[0] else one[2] for one in entries]

    assert shown(graphdebug.record()) == shown(contextlib.nullcontext())
