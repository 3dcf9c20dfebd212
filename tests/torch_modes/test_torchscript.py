"""TorchScript under the recorder: traced as without it, run as without it."""

from __future__ import annotations

import re

import torch
from torch import nn

import graphdebug


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        x = self.conv(x)
        assert torch.equal(torch.as_tensor(x.shape[1]), torch.as_tensor(2))
        return x.reshape(x.shape[0], -1).relu()


def traced(net, x):
    return torch.jit.trace(net, example_inputs=x)


def graph_of(script):
    return re.sub(r"___torch_mangle_\d+\.", "", str(script.inlined_graph))


def test_tracing_gives_the_same_graph_and_says_that_it_was_not_recorded():
    net, x = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), torch.randn(2, 1, 8, 8)
    plain = traced(net, x)
    with graphdebug.record() as run:
        recorded = traced(net, x)
        module = torch.jit.trace_module(net, {"forward": x})
        net(x)
    assert graph_of(recorded) == graph_of(plain) == graph_of(module)
    assert [node.function for node in run.nodes] == ["conv2d", "relu", "detach"]
    assert [notice.text for notice in run.notices] == [
        "torch.jit.trace was left alone: what it ran is not recorded"
    ] * 2
    site = run.notices[0].site
    assert site is not None
    assert site.line == traced.__code__.co_firstlineno + 1


def test_a_traced_program_that_computes_with_sizes_runs_as_without_us():
    x = torch.randn(2, 1, 8, 8)
    net = traced(Net(), x)
    plain = net(x)
    with graphdebug.record() as run:
        results = [net(x) for _ in range(3)]
    assert all(torch.equal(result, plain) for result in results)
    assert [node.function for node in run.nodes if node.family == "conv"] == ["conv2d"] * 3


def test_a_compiled_program_of_any_size_runs_as_without_us():
    def transposed(x):
        rows, columns = x.shape
        return x.reshape(columns, rows).relu() * rows

    inputs = [torch.randn(n, n + 1) for n in (3, 4, 5)]
    plain = [transposed(x) for x in inputs]
    torch.compiler.reset()
    compiled = torch.compile(transposed, dynamic=True)
    with graphdebug.record() as run:
        results = [compiled(x) for x in inputs]
    torch.compiler.reset()
    assert all(torch.equal(result, want) for result, want in zip(results, plain, strict=True))
    assert not run.tool_errors
