"""Gradient pathologies are found in eager TensorFlow, tf.function, TF1 sessions and Keras as in PyTorch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.diagnosis.programs import recorded

v1 = tf.compat.v1
X = np.random.RandomState(0).randn(16, 4).astype("float32")
Y = np.ones((16, 1), "float32")


def _layers(sizes, activation, bias=0.0):
    keras.utils.set_random_seed(1)
    first = keras.initializers.Constant(bias)
    inner = [keras.layers.Dense(n, activation=activation, bias_initializer=first) for n in sizes[:-1]]
    return [*inner, keras.layers.Dense(sizes[-1])]


def _eager(sizes, activation, lr, *, steps=6, bias=0.0, compiled=False, adam=False):
    net = keras.Sequential(_layers(sizes, activation, bias))
    opt = keras.optimizers.Adam(lr) if adam else keras.optimizers.SGD(lr)
    net.build((None, 4))
    opt.build(net.trainable_variables)

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((net(x) - y) ** 2)
        opt.apply_gradients(
            zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables, strict=True)
        )
        return loss

    run = tf.function(step) if compiled else step
    x, y = tf.constant(X), tf.constant(Y)
    for _ in range(steps):
        run(x, y)


def _function(*args, **options):
    _eager(*args, compiled=True, **options)


def _fitted(sizes, activation, lr, *, steps=6, bias=0.0, adam=False):
    net = keras.Sequential(_layers(sizes, activation, bias))
    net.compile(keras.optimizers.Adam(lr) if adam else keras.optimizers.SGD(lr), "mse")
    net.fit(X, Y, epochs=steps, batch_size=16, verbose=0)


def _session(sizes, activation, lr, *, steps=6, bias=0.0, spare=False, adam=False):
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(1)
        x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 1])
        h = x
        for i, n in enumerate(sizes):
            w = v1.get_variable(f"w{i}", [h.shape[1], n])
            start = v1.constant_initializer(bias if i == 0 else 0.0)
            h = tf.matmul(h, w) + v1.get_variable(f"b{i}", [n], initializer=start)
            h = tf.keras.activations.get(activation)(h) if i < len(sizes) - 1 else h
        if spare:
            v1.get_variable("spare", [4, 4])
        loss = tf.reduce_mean((h - y) ** 2)
        opt = v1.train.AdamOptimizer(lr) if adam else v1.train.GradientDescentOptimizer(lr)
        train = opt.minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(steps):
            session.run([loss, train], {x: X, y: Y})


MODES = pytest.mark.parametrize("mode", [_eager, _function, _session, _fitted])


def _found(program, *args, **options):
    run, error = recorded(lambda: program(*args, **options), level="stats")
    assert error is None
    assert not run.tool_errors
    return {one.kind: one for one in run.findings}


@MODES
@pytest.mark.parametrize("adam", [False, True], ids=["sgd", "adam"])
def test_healthy_training_has_no_finding(mode, adam):
    assert not _found(mode, [8, 8, 1], "relu", 1e-3 if adam else 0.01, adam=adam)


@MODES
def test_gradients_vanish_through_saturated_sigmoids(mode):
    found = _found(mode, [4] * 9 + [1], "sigmoid", 0.01)
    assert set(found) == {"vanishing_gradient"}
    assert found["vanishing_gradient"].site.file == __file__


@MODES
def test_a_dead_activation_is_named(mode):
    assert "dead_units" in _found(mode, [8, 1], "relu", 0.01, bias=-100.0)


@MODES
def test_steps_as_large_as_the_weights_are_laid_to_the_optimizer(mode):
    found = _found(mode, [1], "relu", 1.0, steps=4)["update_too_large"]
    assert found.candidates[0].role == "step"


@MODES
def test_steps_that_change_nothing_are_found(mode):
    assert "update_too_small" in _found(mode, [1], "relu", 1e-9)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "function"])
def test_gradients_explode(compiled):
    def program():
        net = keras.Sequential(_layers([8, 1], "tanh"))
        net.build((None, 4))
        opt = keras.optimizers.SGD(1e-7)
        opt.build(net.trainable_variables)

        def step(scale):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.sin(scale * net(X)))
            opt.apply_gradients(
                zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables, strict=True)
            )

        run = tf.function(step) if compiled else step
        for power in range(8):
            run(tf.constant(8.0**power))

    assert "exploding_gradient" in _found(program)


def test_a_variable_that_never_gets_a_gradient_is_named_in_a_session():
    found = _found(_session, [1], "relu", 0.01, spare=True)["missing_gradient"]
    assert found.candidates[0].name == "spare"
    assert "1 of the 3" in found.text
