"""The compiled recorder under attack: random programs, new tensors at every step, threads, Ctrl-C."""

from __future__ import annotations

import gc
import math
import random
import signal
import sys
import threading
import time

import msgspec
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import graphdebug
from graphdebug.backends.torch.native import RECORD
from graphdebug.backends.torch.nodes.lines import Lines
from graphdebug.backends.torch.nodes.writing import NodeBuilder
from graphdebug.model.event import Gradient, Node
from graphdebug.options import LEVELS, Options

pytestmark = pytest.mark.skipif(RECORD is None, reason="the compiled recorder was not built")


class Größe(nn.Module):
    def __init__(self):
        super().__init__()
        self.schicht_ü = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, größe):
        return self.norm(torch.tanh(self.schicht_ü(größe))) + größe


def in_a_thread(x):
    made = []
    thread = threading.Thread(target=lambda: made.append((x.detach() * 3).sum()))
    thread.start()
    thread.join()
    return made[0]


OPS = [
    lambda x, _: x * 1, lambda x, _: x * 1.0, lambda x, _: x * True, lambda x, r: x + r.choice((1, 1.0, 2)),
    lambda x, r: x / r.choice((1, 2, 0)), lambda x, _: x.t(), lambda x, _: x.t().contiguous(),
    lambda x, _: x[:, ::2], lambda x, _: x[1:].clone().add_(1), lambda x, _: x.reshape(-1).view(-1, 1),
    lambda x, _: x.detach().view(torch.int32), lambda x, _: x.detach().double().view(torch.int64),
    lambda x, _: torch.cat([x] * 30), lambda x, _: torch.stack([x, x]), lambda x, _: x.topk(1, dim=0)[0],
    lambda x, _: x.max(dim=1), lambda x, _: x.split(1), lambda x, _: x.sum().reshape((1,) * 14),
    lambda x, _: x.bool().any(), lambda x, _: x.to(torch.bfloat16).exp(), lambda x, _: x.detach() + 1j,
    lambda x, _: x[:0].sum(), lambda x, _: x.detach().to_sparse() * 2, lambda x, _: x.to(torch.float16).mean(),
    lambda x, _: x.detach().contiguous().to_mkldnn().to_dense(), lambda x, _: x * 1e-42, lambda x, _: x * 1e38,
    lambda x, _: x.double() * 1e308, lambda x, _: torch.full_like(x, 2**31 - 1, dtype=torch.int64) * 2**32,
    lambda x, r: torch.arange(r.randrange(1, 9)), lambda x, _: in_a_thread(x),
    lambda x, r: nn.functional.dropout(x, 0.5, training=r.random() < 0.5), lambda x, _: x.sort(descending=True),
    lambda x, _: torch.einsum("ij,kj->ik", x, x), lambda x, _: x[x > 0], lambda x, _: x.sum().item(),
    lambda x, _: nn.functional.pad(x, (1, 1), value=float("nan")), lambda x, _: torch.where(x > 0, x, -x),
]  # fmt: skip


def program(seed):
    """A training loop of random ops, each at a line of its own in every step."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    net = Größe()
    kind, foreach = chance.choice((torch.optim.SGD, torch.optim.AdamW)), chance.random() < 0.5
    optimizer = kind(net.parameters(), lr=0.01, foreach=foreach)
    chosen = chance.sample(OPS, 12)
    again, twice = chance.random() < 0.5, chance.random() < 0.5
    for step in range(5):
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = 0.01 / (step + 1)
        batch = torch.randn(chance.choice((4, 4, 4, 3)), 6)
        out = checkpoint(net, batch, use_reentrant=False) if again else net(batch)
        results = [op(out, chance) for op in chosen] + [out[:, step], out * step, out.add(out, alpha=step / 3)]
        results += [out.detach() * (math.nan if step == 3 else step / 7)]
        losses = [one.float().sum() for one in results if isinstance(one, torch.Tensor) and one.requires_grad]
        loss = sum(losses, out.square().mean())
        if twice:
            (slope,) = torch.autograd.grad(loss, net.schicht_ü.weight, create_graph=True)
            loss = loss + slope.square().sum()
        loss.backward()
        optimizer.step()


def untimed(event):
    """An event without its seconds, which the log rounds to nanoseconds."""
    return msgspec.structs.replace(event, time=0.0, duration=0.0) if isinstance(event, Node) else event


@pytest.mark.parametrize("level", LEVELS)
def test_lines_of_random_programs_are_those_of_the_structs_that_python_builds(level, tmp_path, monkeypatch):
    batches, builders = [], []
    write = Lines.batch

    def batch(self, raws, zero):
        batches.append((list(raws), zero))
        builders.append(self._builder)
        return write(self, raws, zero)

    monkeypatch.setattr(Lines, "batch", batch)
    for seed in range(8):
        batches.clear()
        builders.clear()
        path = tmp_path / f"{seed}.jsonl"
        with graphdebug.record(path, level=level, gradients="all"):
            program(seed)
        run = graphdebug.load(path)
        assert not list(run.tool_errors)
        assert not run.damage
        builder = NodeBuilder(builders[0].sink, Options(level=level, gradients="all"))
        text = msgspec.json.encode([event for raws, zero in batches for event in builder.build(raws, zero)])
        built = msgspec.json.decode(text, type=list[Node | Gradient])
        events = {event.seq: event for event in run.events}
        found = [events[one.seq] for one in built]
        for one, other in zip(found, built, strict=True):
            assert untimed(one) == untimed(other)
            if isinstance(one, Node):
                assert (one.time, one.duration) == pytest.approx((other.time, other.duration), abs=2e-9, rel=0)
        assert len(found) > 300


def test_new_batches_sparse_tensors_and_checkpoints_at_every_step_do_not_grow_memory(tmp_path):
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    objects, blocks = [], []
    with graphdebug.record(tmp_path / "run.jsonl", level="stats"):
        for step in range(2000):
            batch = torch.randn(2, 3)
            loss = checkpoint(net, batch * 2 + batch, use_reentrant=False).sum()
            loss.backward()
            batch.to_sparse().mul(2)
            optimizer.step()
            optimizer.zero_grad()
            if step in (600, 1999):
                gc.collect()
                objects.append(len(gc.get_objects()))
                blocks.append(sys.getallocatedblocks())
    assert objects[1] - objects[0] < 500, objects
    assert blocks[1] - blocks[0] < 4000, blocks


def test_threads_that_share_parameters_and_write_them_are_recorded_whole(tmp_path):
    net = nn.Linear(8, 8)
    switching = sys.getswitchinterval()

    def read():
        for _ in range(150):
            net(torch.randn(4, 8))

    def write():
        for _ in range(150):
            with torch.no_grad():
                net.weight.add_(0.001)
                net.bias.mul_(0.99)

    threads = [threading.Thread(target=work) for work in (read, write, read, write)]
    sys.setswitchinterval(1e-5)
    try:
        with graphdebug.record(tmp_path / "run.jsonl", level="health") as run:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(switching)
    run = graphdebug.load(tmp_path / "run.jsonl")
    assert not list(run.tool_errors)
    assert not run.damage
    called = [node.function for node in run.nodes]
    assert (called.count("linear"), called.count("mul")) == (300, 300)
    assert len({event.seq for event in run.events}) == len(run.events)
    weights = [operand for node in run.nodes if node.function == "linear" for operand in node.inputs]
    assert {one.name for one in weights if one.role == "weight"} == {"net.weight"}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer")
def test_interrupts_that_arrive_while_a_tensor_is_looked_at_are_not_swallowed():
    def interrupt(*_):
        raise KeyboardInterrupt

    before, x, arrived = signal.signal(signal.SIGALRM, interrupt), torch.randn(8), 0
    try:
        with graphdebug.record(level="values"):
            x * 2
            for _ in range(40):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.002)
                    end = time.perf_counter() + 0.5
                    while time.perf_counter() < end:
                        x * 2
                except KeyboardInterrupt:
                    arrived += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert arrived >= 36, "Python itself swallows those that arrive in a weak reference's callback"


def test_a_view_as_another_type_is_not_taken_for_finite():
    with graphdebug.record(level="stats") as run:
        bits = torch.full((4,), 0x7FC00000, dtype=torch.int32)
        assert bits.view(torch.float32).isnan().all()
    (view,) = [node for node in run.nodes if node.op == "aten::view"]
    (fact,) = view.outputs
    assert (fact.dtype, fact.finite, fact.stats) == ("float32", None, None)
    assert fact.alias_of is not None


def test_tensors_alike_but_for_their_layout_are_told_apart():
    with graphdebug.record(level="stats") as run:
        for _ in range(2):
            plain = torch.ones(5, 23) * 2
            plain.to_mkldnn()
    layouts = [(node.function, node.outputs[0].layout) for node in run.nodes if node.function != "fill"]
    assert [layout for name, layout in layouts if name == "mul"] == ["", ""]
    assert [layout for name, layout in layouts if name == "to_mkldnn"] == ["mkldnn", "mkldnn"]


def test_numbers_that_are_equal_but_of_other_types_are_written_as_they_are(tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl", level="shapes"):
        x = torch.ones(3, dtype=torch.float64)
        for number in (1, 1.0, 1, 1.0, True):
            x * number
    run = graphdebug.load(tmp_path / "run.jsonl")
    numbers = [node.attributes["scalar"] for node in run.nodes if node.function == "mul"]
    assert [repr(one) for one in numbers] == ["1", "1.0", "1", "1.0", "True"]


@pytest.mark.parametrize("foreach", [False, True])
def test_numbers_that_change_from_step_to_step_leave_no_node_to_python(foreach, tmp_path, monkeypatch):
    built = []
    build = Lines._build
    monkeypatch.setattr(Lines, "_build", lambda self, raw, zero: built.append(raw[1]) or build(self, raw, zero))
    torch.manual_seed(0)
    net, x = nn.Linear(8, 8), torch.randn(4, 8)
    optimizer = torch.optim.AdamW(net.parameters(), foreach=foreach)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    divisors, places = [], []
    with graphdebug.record(tmp_path / "run.jsonl"):
        for step in range(6):
            optimizer.zero_grad()
            rows = [net(x)[:, place] for place in range(8)]
            (sum(rows) / (step + 1.5)).sum().backward()
            optimizer.step()
            schedule.step()
            divisors.append(step + 1.5)
            places += range(8)
    assert max(built) <= 2, "the second step shows what changes, the third has stencils for all of it"
    forward = [node for node in graphdebug.load(tmp_path / "run.jsonl").nodes if node.phase == "forward"]
    assert [node.attributes["scalar"] for node in forward if node.function == "div"] == divisors
    assert [node.attributes["index"] for node in forward if node.op == "aten::select"] == places
