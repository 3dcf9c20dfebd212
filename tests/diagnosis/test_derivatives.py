"""A gradient of a wrong shape is laid to the code that made it, in every mode; right ones are not accused."""

from __future__ import annotations

import pytest
import tensorflow as tf
import torch

from tests.diagnosis import tf_derivatives, torch_derivatives
from tests.diagnosis.programs import assert_named_first, programs, recorded


@pytest.mark.parametrize("name", programs(torch_derivatives))
def test_torch_names_what_made_the_gradient(name, tmp_path):
    assert_named_first(torch_derivatives, name, "shape_mismatch", tmp_path)


@pytest.mark.parametrize("name", programs(tf_derivatives))
def test_tensorflow_names_what_made_the_gradient(name, tmp_path):
    assert_named_first(tf_derivatives, name, "shape_mismatch", tmp_path)


def test_expected_and_found_shape_are_told():
    run, _ = recorded(torch_derivatives.function_returns_a_transposed_gradient)
    assert "the gradient is 3x5, the tensor it belongs to 5x3" in run.findings[0].text
    assert "try: transpose it" in run.findings[0].text


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def test_a_right_derivative_is_not_blamed_for_a_fault_in_forward_in_torch():
    def program():
        w = torch.nn.Parameter(torch.randn(5, 3))
        for width in (5, 4):
            h = _Doubled.apply(torch.randn(4, width, requires_grad=True))
            (h @ w).sum().backward()

    run, error = recorded(program)
    assert error is not None
    assert "gradient" not in run.findings[0].text


def test_a_gradient_used_in_forward_is_no_derivative():
    """A penalty on gradients that meets other weights fails in forward: the weights are looked at as ever."""

    def program():
        x = torch.randn(4, 6, requires_grad=True)
        y = torch.nn.Linear(6, 5)(x).pow(2).sum()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        g.reshape(2, 12) @ torch.randn(6, 2)

    run, error = recorded(program)
    assert error is not None
    assert "gradient has the shape" not in run.findings[0].text


def test_right_derivatives_have_no_finding():
    @tf.custom_gradient
    def doubled(x):
        return x * 2.0, lambda upstream: upstream * 2.0

    def eager():
        v = tf.Variable([[1.0, 2.0]])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(doubled(v) ** 2)
        tf.keras.optimizers.SGD(0.01).apply_gradients([(tape.gradient(loss, v), v)])

    def hooked():
        h = torch.nn.Linear(3, 2)(torch.randn(4, 3))
        h.register_hook(lambda g: g.clamp(-1, 1))
        _Doubled.apply(h).sum().backward()

    for program in (eager, hooked):
        run, error = recorded(program)
        assert error is None
        assert [one.text for one in run.findings] == []
