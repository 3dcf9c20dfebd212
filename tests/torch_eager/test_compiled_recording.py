"""The compiled part of recording gives the same log as the Python that it stands in for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import graphdebug
from graphdebug.backends.torch.native import RECORD
from graphdebug.model.event import Gradient, Node

PROGRAM = """
import sys
if sys.argv[1] == "python":
    sys.modules["graphdebug.backends.torch._record"] = None  # importing it fails, as where it was not built
import torch, graphdebug
from graphdebug.backends.torch.native import RECORD
from torch import nn
from torch.utils.checkpoint import checkpoint

assert (RECORD is None) == (sys.argv[1] == "python")
torch.manual_seed(0)
torch.set_num_threads(1)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList([nn.Linear(16, 16) for _ in range(3)])
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x))).max_pool2d(3) if False else self.norm(self.conv(x)).relu()
        x = nn.functional.max_pool2d(x, 3).flatten(1)[:, :16]
        for block in self.blocks:
            x = x + block(x.t().contiguous().t())
        x = checkpoint(self.blocks[0], x, use_reentrant=False)
        return self.head(x)

net = Net()
optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.AdamW}[sys.argv[4]](net.parameters(), lr=0.01)
images, labels = torch.randn(2, 1, 8, 8), torch.randint(0, 4, (2,))
with graphdebug.record(sys.argv[2], level=sys.argv[3], gradients="all") as run:
    for step in range(6):
        optimizer.zero_grad()
        batch = images[:1] if step == 3 else images
        if step == 4:
            batch = batch / 0
        loss = nn.functional.cross_entropy(net(batch), labels[: len(batch)])
        loss.backward()
        optimizer.step()
        for scale in (0.5, step, 2):
            torch.ones(3, dtype=torch.float64) * scale
        with torch.inference_mode():
            net.head(torch.ones(2, 16))
        torch.stack([loss.detach(), loss.detach()]).sum().item()
        try:
            images @ labels
        except RuntimeError:
            pass
"""
UNLIKE = {"time": 0.0, "duration": 0.0, "thread": 0}
"""What differs from one execution of a program to the next."""


def events_of(how: str, folder: Path, level: str, optimizer: str) -> list:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    log = folder / f"{how}.jsonl"
    done = subprocess.run(
        [sys.executable, program, how, log, level, optimizer], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    run = graphdebug.load(log)
    assert not list(run.tool_errors)
    assert run.end is not None
    assert run.end.events == len(run.events)
    return [
        msgspec.structs.replace(event, **UNLIKE) if isinstance(event, Node) else event
        for event in run.events
        if isinstance(event, Node | Gradient)
    ]


@pytest.mark.skipif(RECORD is None, reason="no C compiler was there when graphdebug was installed")
@pytest.mark.parametrize(
    ("level", "optimizer"), [("shapes", "sgd"), ("health", "adam"), ("stats", "adam"), ("values", "sgd")]
)
def test_the_compiled_recorder_and_python_write_the_same_events(level, optimizer, tmp_path):
    compiled, plain = (events_of(how, tmp_path, level, optimizer) for how in ("compiled", "python"))
    assert len(compiled) == len(plain) > 300
    for one, other in zip(compiled, plain, strict=True):
        assert one == other


def test_times_in_the_log_are_those_of_the_clock(tmp_path):
    import torch

    with graphdebug.record(tmp_path / "run.jsonl", level="shapes") as run:
        x = torch.ones(4)
        for _ in range(50):
            x = x + 1
    nodes = graphdebug.load(tmp_path / "run.jsonl").nodes
    times = [node.time for node in nodes]
    assert times == sorted(times)
    assert all(0 < node.duration < 1 for node in nodes)
    assert 0 < times[0] <= times[-1] + nodes[-1].duration <= run.end.seconds
