"""Gradient pathologies over steps are found at level stats too, and healthy training has none."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import graphdebug


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(4, 1)
        self.spare = nn.Linear(4, 1)

    def forward(self, x):
        return self.used(x)


def trained(net, *, lr=0.01, steps=6, optimizer=torch.optim.SGD, scale=1.0):
    torch.manual_seed(0)
    opt = optimizer(net.parameters(), lr=lr)
    x = torch.randn(16, 4) * scale
    with graphdebug.record(level="stats") as run:
        for _ in range(steps):
            opt.zero_grad()
            F.mse_loss(net(x), torch.ones(16, 1)).backward()
            opt.step()
    assert not run.tool_errors
    return run


def kinds(run):
    return [one.kind for one in run.findings]


def test_healthy_training_has_no_finding():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    assert kinds(trained(net)) == []
    assert kinds(trained(net, optimizer=torch.optim.Adam, lr=1e-3)) == []


def test_a_layer_that_is_never_used_is_named_by_its_declaration():
    finding = trained(Unused()).findings[0]
    assert finding.kind == "missing_gradient"
    assert finding.candidates[0].name == "spare.weight"
    assert "spare.weight and spare.bias never got a gradient in 6 steps" in finding.text


def test_frozen_parameters_are_not_missed():
    net = Unused()
    net.spare.requires_grad_(False)
    assert kinds(trained(net)) == []


def test_gradients_vanish_through_saturated_sigmoids():
    torch.manual_seed(1)
    layers = [part for _ in range(9) for part in (nn.Linear(4, 4), nn.Sigmoid())]
    run = trained(nn.Sequential(*layers, nn.Linear(4, 1)))
    assert kinds(run) == ["vanishing_gradient"]
    assert "vanishes on its way to 0.weight" in run.findings[0].text


def test_a_dead_activation_is_named():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        net[0].bias.fill_(-100.0)
    assert "dead_units" in kinds(trained(net))


def test_steps_as_large_as_the_weights_are_laid_to_the_optimizer():
    run = trained(nn.Linear(4, 1), lr=3.0, steps=3)
    found = next(one for one in run.findings if one.kind == "update_too_large")
    assert found.candidates[0].role == "step"


def test_steps_that_change_nothing_are_found():
    torch.manual_seed(1)
    assert "update_too_small" in kinds(trained(nn.Linear(4, 1), lr=1e-9))


def test_a_loss_that_runs_away_is_found_before_it_overflows():
    run = trained(nn.Linear(4, 1), lr=0.1, steps=12, scale=20.0)
    assert kinds(run)[0] == "divergence"
    assert run.findings[0].site.line == trained.__code__.co_firstlineno + 2
