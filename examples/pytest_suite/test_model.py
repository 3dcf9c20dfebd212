"""Fails on purpose: run it with ``pytest --graphdebug examples/pytest_suite``."""

from __future__ import annotations

import pytest
import torch
from model import Net, error_of, loss_of


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def test_takes_images_of_any_size(net):
    assert net(torch.randn(2, 1, 100, 100)).shape == (2, 10)


def test_loss_of_a_sure_network_is_finite():
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
    assert torch.isfinite(loss_of(logits, torch.tensor([1, 1])))


def test_every_parameter_learns(net, graphdebug):
    loss_of(net(torch.randn(2, 1, 28, 28)), torch.tensor([1, 2])).backward()
    graphdebug.assert_shapes({"conv": (2, 8, 24, 24), "fc": (2, 10)})
    graphdebug.assert_gradients_flow(net)


def test_error_is_a_mean_over_examples(graphdebug):
    error_of(torch.zeros(4, 1), torch.ones(4))
    graphdebug.assert_no_broadcast()


@pytest.mark.graphdebug(nonfinite="fail")
def test_a_step_stays_finite(net):
    loss_of(net(torch.randn(2, 1, 28, 28)), torch.tensor([1, 2])).backward()


def test_a_wrong_size_is_blamed_on_the_declaration(net, graphdebug):
    with graphdebug.raises("shape_mismatch", at="model.py:15"):
        net(torch.randn(2, 1, 100, 100))
