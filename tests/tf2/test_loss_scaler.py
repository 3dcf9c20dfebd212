"""Steps of a loss scaler, which updates in a branch of its own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug

BATCH = 16


@pytest.mark.parametrize("scale", [2.0**10, 2.0**60], ids=["applied", "skipped"])
@pytest.mark.parametrize("mode", ["function", "fit"])
def test_steps_of_a_loss_scaler_that_updates_in_a_branch_are_counted(mode, scale):
    keras.utils.set_random_seed(0)
    half = keras.layers.Dense(3, dtype="mixed_float16")
    net = keras.Sequential([keras.Input((4,)), half, keras.layers.Dense(1, dtype="float32")])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), scale, dynamic_growth_steps=2)
    optimizer.build(net.trainable_variables)
    x, y = np.ones((BATCH, 4), "float32"), np.ones((BATCH, 1), "float32")
    before = net.get_weights()

    @tf.function
    def update(x, y):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_mean(tf.square(net(x) - y)))
        optimizer.apply(tape.gradient(loss, net.trainable_variables))

    net.compile(optimizer, "mse")
    with graphdebug.record() as run:
        if mode == "fit":
            net.fit(x, y, batch_size=BATCH // 4, verbose=0)
        else:
            for at in range(4):
                update(x[at::4], y[at::4])
    changed = any((one != other).any() for one, other in zip(before, net.get_weights(), strict=True))
    assert changed == (scale == 2.0**10)  # what the scaler made infinite it does not apply: still a step
    counts = [sum(node.phase == "optimizer" for node in run.step(step).nodes) for step in run.steps]
    assert [count > 0 for count in counts][:4] == [True] * 4
    assert not any(counts[4:])  # Keras looks for a fifth batch
    assert run.tool_errors == []


@pytest.mark.parametrize("eagerly", [False, True])
def test_steps_that_a_loss_scaler_skips_are_no_finding(eagerly):
    keras.utils.set_random_seed(0)
    half = keras.layers.Dense(3, dtype="mixed_float16")
    net = keras.Sequential([keras.Input((4,)), half, keras.layers.Dense(1, dtype="float32")])
    net.compile(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), 2.0**18), "mse", run_eagerly=eagerly
    )
    x, y = np.ones((BATCH, 4), "float32"), np.full((BATCH, 1), 3.0, "float32")
    before = net.get_weights()
    with graphdebug.record() as run:
        net.fit(x, y, batch_size=1, epochs=2, verbose=0)
    assert any(one.fact.finite is False for one in run.gradients), "the first steps overflow"
    assert all((one != other).any() for one, other in zip(before, net.get_weights(), strict=True))
    assert not run.findings
