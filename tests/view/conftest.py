"""A small run with a NaN and a failure, the same in every view test."""

from __future__ import annotations

import pytest

from graphdebug.log.reader import LogFile
from graphdebug.log.writer import LogWriter
from graphdebug.model.event import (
    Declaration,
    End,
    Failure,
    Framework,
    Gradient,
    Node,
    Notice,
    Operand,
    RunStart,
    Site,
    Source,
    Stats,
    TensorFact,
)
from graphdebug.model.finding import Candidate, Finding
from graphdebug.model.run import Run

NET = "/home/ann/net.py"
TEXT = """import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 2)

    def forward(self, x):
        x = self.fc(x)
        x = torch.log(x)
        return x.sum()
"""


def fact(*shape, l2=1.0, bad=0, **more):
    stats = Stats(nan=bad, min=-l2, max=l2, mean=0.0, std=l2 / 2, l2=l2)
    return TensorFact(tuple(shape), "float32", finite=not bad, stats=stats, **more)


def site(line):
    return Site(NET, line, 8, line, 22, "Net.forward")


def step_events(first, step, *, bad=0):
    """One training step: linear, log, sum, and the backward of log and linear."""
    x = Operand(fact(8, 4), "feed", None, name="x", role="input")
    weight = Operand(fact(2, 4), "parameter", None, name="fc.weight", role="weight")

    def made(by, *shape):
        return Operand(fact(*shape), "node", first + by, role="input")

    common = {"framework": "torch", "mode": "eager"}
    return [
        Node(
            first,
            step,
            "aten::addmm",
            "linear",
            "linear",
            **common,
            module="fc",
            site=site(9),
            inputs=(x, weight),
            outputs=(fact(8, 2, l2=2.0 + step),),
            time=step + 0.1,
            duration=1e-4,
        ),
        Node(
            first + 1,
            step,
            "aten::log",
            "log",
            "elementwise",
            **common,
            site=site(10),
            inputs=(made(0, 8, 2),),
            outputs=(fact(8, 2, l2=3.0, bad=bad),),
            time=step + 0.2,
            duration=2e-5,
        ),
        Node(
            first + 2,
            step,
            "aten::sum",
            "sum",
            "reduce",
            **common,
            site=site(11),
            inputs=(made(1, 8, 2),),
            outputs=(fact(l2=5.0, bad=1 if bad else 0),),
            time=step + 0.3,
            duration=1e-5,
        ),
        Node(
            first + 3,
            step,
            "aten::div",
            "log_backward",
            "elementwise",
            **common,
            phase="backward",
            site=site(10),
            forward=first + 1,
            inputs=(made(0, 8, 2),),
            outputs=(fact(8, 2, l2=9.0, bad=bad),),
            time=step + 0.4,
        ),
        Node(
            first + 4,
            step,
            "aten::mm",
            "linear_backward",
            "linear",
            **common,
            phase="backward",
            module="fc",
            site=site(9),
            forward=first,
            inputs=(made(3, 8, 2),),
            outputs=(fact(2, 4, l2=0.5, bad=bad),),
            time=step + 0.5,
        ),
        Gradient(
            first + 5, step, fact(2, 4, l2=0.5 + step, bad=bad), "fc.weight", first, 0, first + 4, site(9)
        ),
    ]


def make_events():
    return [
        RunStart(
            0,
            1,
            "0.1.0",
            "2026-01-05T09:00:00.000+00:00",
            "3.12.1",
            "Linux",
            ("train.py", "--lr", "1"),
            "/home/ann",
            77,
            {"level": "stats"},
            host="box",
        ),
        Framework(1, "torch", "2.13.0"),
        Source(2, NET, TEXT),
        Declaration(
            3,
            "fc",
            "Linear",
            Site(NET, 6, 18),
            "source",
            {"in_features": 4, "out_features": 2},
            {"weight": TensorFact((2, 4), "float32")},
        ),
        *step_events(10, 0),
        *step_events(20, 1),
        *step_events(30, 2, bad=3),
        Notice(40, "blind", "a compiled region was not seen", site(9)),
        Failure(
            41,
            2,
            "RuntimeError",
            "mat1 and mat2 shapes cannot be multiplied (8x5 and 4x2)",
            "shape",
            framework="torch",
            mode="eager",
            op="aten::addmm",
            function="linear",
            family="linear",
            module="fc",
            site=site(9),
            frames=(site(9),),
            operands=(
                Operand(fact(8, 5), "argument", None, name="x", role="input", expression="x"),
                Operand(fact(2, 4), "parameter", None, name="fc.weight", role="weight"),
            ),
        ),
        End(42, "failed", 3, 26, 3.25),
    ]


FINDING = Finding(
    "nonfinite", site(10),
    "graphdebug: NaN is born in log, at net.py:10 (forward, step 2)\n    10 |  x = torch.log(x)\n  try: clamp",
    (Candidate(site(10), "expression", "3 of 16 elements are NaN, its input has none"),),
    evidence=(31,), confidence=0.9,
)  # fmt: skip


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "run.jsonl"
    writer = LogWriter(path)
    writer.write(make_events())
    writer.close()
    return path


@pytest.fixture
def run(log):
    return Run(LogFile(log), diagnose=lambda _: [FINDING])
