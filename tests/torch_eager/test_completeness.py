"""Every op that torch's own profiler sees is in the record, as often, on four real networks."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from benchmarks.torch_models import Training, resnet, transformer
from torch import nn
from torch.utils.checkpoint import checkpoint

import graphdebug
from tests.torch_eager.lines import line_of


class Square(torch.autograd.Function):
    """A Function of the user's own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x  # square forward

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 2 * x  # square backward


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        h = Square.apply(self.first(x))
        h = checkpoint(self.second, h, use_reentrant=False)  # checkpoint call
        return self.head(h)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 8, num_layers=2, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, tokens):
        states, _ = self.lstm(self.embed(tokens))
        return self.head(states[:, -1])


def tagger():
    net = Tagger()
    batch = torch.randint(0, 20, (4, 7)), torch.randint(0, 5, (4,))
    return Training(net, batch, F.cross_entropy, torch.optim.Adam(net.parameters()))


def checkpointed():
    net = Checkpointed()
    batch = torch.randn(4, 6), torch.randint(0, 3, (4,))
    return Training(net, batch, F.cross_entropy, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))


NETWORKS = {
    "resnet": lambda: resnet(size=32, batch=2, width=8),
    "transformer": lambda: transformer(layers=2, width=16, length=5, batch=2),
    "lstm": tagger,
    "checkpoint and custom function": checkpointed,
}

CALLED = ("aten::empty.memory_format", "aten::where.self")
"""The overloads that run here of ops that have composite overloads too: the profiler tells names alone."""
BY_THE_ENGINE = {"aten::detach", "aten::add", "aten::add_"}
"""What autograd's engine itself does in another way while any mode is active: it adds gradients with ``add``
where it would with ``add_``, and detaches more often."""


@cache
def is_composite(name):
    """Whether an op has no kernel of its own: the dispatcher calls others in its place."""
    overloads = [one for one in torch._C._dispatch_get_all_op_names() if one.partition(".")[0] == name]
    called = [one for one in overloads if one in CALLED] or overloads
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return any(has_kernel(one, "CompositeImplicitAutograd") for one in called)


def calls_others(event):
    """Whether an op of the profile is composite: also an overload that calls another one of its name."""
    again = any(one.name == event.name for one in event.cpu_children)
    return is_composite(event.name) or (again and any(one.startswith(f"{event.name}.") for one in CALLED))


def is_dispatched(event):
    """Whether the dispatcher saw an op of the profile: it has a kernel, and no other op's kernel called it."""
    around = event.cpu_parent
    while around is not None:
        if around.name.startswith("aten::") and not calls_others(around):
            return False
        around = around.cpu_parent
    return event.name.startswith("aten::") and not calls_others(event)


def profiled(training):
    """Ops by name, as the profiler counts them."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        training.step()
    return Counter(event.name for event in profile.events() if is_dispatched(event))


@pytest.fixture(scope="module", params=list(NETWORKS))
def recorded(request):
    torch.manual_seed(0)
    training = NETWORKS[request.param]()
    training.step()  # optimizers make their state in the first step
    expected = profiled(training)
    with graphdebug.record(level="shapes") as run:
        training.step()
    assert not run.tool_errors
    return run, expected


def test_every_op_that_the_profiler_saw_is_recorded_as_often_and_no_other(recorded):
    run, expected = recorded
    counts = Counter(node.op for node in run.nodes)
    names = {*counts, *expected} - BY_THE_ENGINE
    assert {name: counts[name] for name in names} == {name: expected[name] for name in names}
    assert len(names) >= 13
    assert sum(counts.values()) > 60


def test_gradients_summed_by_the_engine_are_counted_once(recorded):
    run, expected = recorded
    counts = Counter(node.op for node in run.nodes)
    assert counts["aten::add"] + counts["aten::add_"] == expected["aten::add"] + expected["aten::add_"]
    assert counts["aten::detach"] >= expected["aten::detach"]


def test_every_node_has_a_line_and_every_backward_node_its_forward(recorded):
    run, _ = recorded
    assert all(node.site is not None and "site-packages" not in node.site.file for node in run.nodes)
    backward = [node for node in run.nodes if node.phase == "backward" and node.name != "AccumulateGrad"]
    assert backward
    for node in backward:
        forward = run.node(node.forward)
        assert forward is not None, node
        assert forward.seq < node.seq
        assert forward.phase in ("forward", "recompute")


def test_every_parameter_has_its_gradient_tied_to_the_node_that_used_it():
    torch.manual_seed(0)
    training = resnet(size=32, batch=2, width=4)
    with graphdebug.record() as run:
        training.step()
    named = dict(training.net.named_parameters())
    tied = [one for one in run.gradients if one.stage != "given"]  # those were looked at as the step began
    assert {one.name for one in tied} == set(named)
    for one in tied:
        assert one.fact.shape == tuple(named[one.name].shape)
        assert any(operand.name == one.name for operand in run.node(one.node).inputs)
        assert run.node(one.producer).phase == "backward"


def test_a_custom_function_shows_its_class_its_apply_line_and_its_backward_line():
    torch.manual_seed(0)
    training = checkpointed()
    with graphdebug.record() as run:
        training.step()
    inside = [node for node in run.nodes if node.name == "SquareBackward"]
    assert {node.site.line for node in inside} == {line_of(__file__, "# square backward")}
    forward = run.node(inside[0].forward)
    assert forward.site.line == line_of(__file__, "# square forward")
    assert any(site.function == "Checkpointed.forward" for site in forward.callers)


def test_recomputed_nodes_point_at_the_nodes_they_repeat():
    torch.manual_seed(0)
    training = checkpointed()
    with graphdebug.record() as run:
        training.step()
    again = [node for node in run.nodes if node.phase == "recompute"]
    repeated = [run.node(node.forward) for node in again]
    assert [node.op for node in again if node.forward is not None].count("aten::addmm") == 1
    for node, first in zip(again, repeated, strict=True):
        if first is None:
            assert node.op == "aten::detach"  # autograd's own, made for what it saves
            continue
        assert (first.op, first.module, first.phase) == (node.op, node.module, "forward")
        assert node.site.line == line_of(__file__, "# checkpoint call")
