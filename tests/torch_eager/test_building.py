"""The line that made a module, in whatever form that is written: taken while it is made."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import graphdebug
from tests.torch_eager.lines import line_of


def dense(*sizes):
    return nn.Linear(*sizes)  # line 1


class Chain(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.first = dense(*sizes[:2])  # line 2
        options = {"in_features": sizes[1], "out_features": sizes[1]}
        self.rest = nn.Sequential()
        for _ in range(2):
            self.rest.append(nn.Linear(**options))  # line 3
        self.heads = nn.ModuleList(
            [
                nn.Linear(sizes[1], size)  # line 4
                for size in sizes[2:]
            ]
        )
        setattr(self, "act" + "ivation", nn.ReLU())  # line 5
        self.scale = self.make_scale()  # line 7

    def make_scale(self):
        return nn.Parameter(torch.ones(1))

    def forward(self, x):
        x = self.activation(self.rest(self.first(x))) * self.scale
        return [head(x) for head in self.heads]


def made(sizes):
    return Chain(sizes)  # line 6


MARKS = {
    "": 6, "first": 1, "rest.0": 3, "rest.1": 3, "heads.0": 4, "activation": 5, "scale": 7,
}  # fmt: skip
"""By module, the number of the mark on its line."""


def line(number):
    return line_of(__file__, f"# line {number}")


@pytest.mark.parametrize("name", MARKS)
def test_a_module_is_declared_at_the_line_that_called_its_class(name):
    with graphdebug.record() as run:
        made([3, 4, 2, 2])(torch.randn(2, 3))
    assert run.declaration(name).site.line == line(MARKS[name])


def test_the_calls_around_that_line_are_kept_the_innermost_first():
    with graphdebug.record() as run:
        made([3, 4, 2])(torch.randn(2, 3))  # line 8
    callers = [one.line for one in run.declaration("first").callers]
    assert callers[:3] == [line(2), line(6), line(8)]
    assert run.declaration("heads.0").callers[0].line == line(6)


def test_what_a_library_made_or_copied_has_no_line_of_its_own_but_those_around():
    with graphdebug.record() as run:
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        nn.TransformerEncoder(layer, 1)(torch.randn(2, 3, 4))
    inner = run.declaration("layers.0.linear1")
    assert inner.site is None
    assert inner.callers


def test_a_module_that_was_made_before_is_found_in_the_source():
    net = made([3, 4, 2])
    with graphdebug.record() as run:
        net(torch.randn(2, 3))
    assert run.declaration("first").site.line == line(2)


def test_modules_can_be_made_copied_and_replaced_as_without_a_recording():
    torch.manual_seed(0)
    plain = made([3, 4, 2]).state_dict()
    torch.manual_seed(0)
    with graphdebug.record() as run:
        net = made([3, 4, 2])
        copied = copy.deepcopy(net)
        copied.first = nn.Linear(3, 4)
        copied.scale = None
        del copied.rest
    assert all(torch.equal(plain[name], value) for name, value in net.state_dict().items())
    assert not run.tool_errors
