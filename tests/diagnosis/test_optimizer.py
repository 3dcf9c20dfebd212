"""NaN that the optimizer makes is laid to its own line, in every mode; healthy optimizers have no finding."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import torch

from tests.diagnosis import optimizer_faults
from tests.diagnosis.programs import assert_named_first, programs, recorded


@pytest.mark.parametrize("name", programs(optimizer_faults))
def test_the_optimizer_is_named(name, tmp_path):
    assert_named_first(optimizer_faults, name, "nonfinite", tmp_path)


def test_gradients_that_are_always_zero_do_no_harm_with_an_eps():
    x = np.array([[0.0, 1, 2, 3]] * 8, np.float32)

    def in_torch():
        net = torch.nn.Linear(4, 1)
        opt = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(3):
            opt.zero_grad()
            net(torch.from_numpy(x)).pow(2).mean().backward()
            opt.step()

    def in_tensorflow():
        v = tf.Variable(tf.ones([4, 1]))
        opt = tf.keras.optimizers.Adam(0.01)
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.matmul(x, v) ** 2)
            opt.apply_gradients([(tape.gradient(loss, v), v)])

    for program in (in_torch, in_tensorflow):
        run, error = recorded(program)
        assert error is None
        assert [one.text for one in run.findings] == []
