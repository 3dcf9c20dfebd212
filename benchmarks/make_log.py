"""Write a log of any size, as a transformer in training would leave it: for measuring the views at scale.

Example: python benchmarks/make_log.py big.jsonl --events 1000000 --nan
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from graphdebug._version import VERSION
from graphdebug.log.writer import LogWriter
from graphdebug.model.event import (
    SCHEMA_VERSION,
    Declaration,
    End,
    Event,
    Framework,
    Gradient,
    Node,
    Number,
    Operand,
    RunStart,
    Site,
    Source,
    Stats,
    TensorFact,
)

FILE = "/home/user/project/net.py"
LINES = [
    "import torch",
    "class Block(torch.nn.Module):",
    "    def __init__(self, width):",
    "        self.norm = torch.nn.LayerNorm(width)",
    "        self.attention = torch.nn.Linear(width, width)",
    "        self.up = torch.nn.Linear(width, 4 * width)",
    "        self.down = torch.nn.Linear(4 * width, width)",
    "    def forward(self, x):",
    "        y = self.norm(x)",
    "        y = self.attention(y)",
    "        x = x + torch.softmax(y, -1)",
    "        y = torch.relu(self.up(x))",
    "        y = self.down(y)",
    "        return x + y.log1p()",
    "loss = model(batch).square().mean()",
    "loss.backward()",
    "optimizer.step()",
]
OPS = [  # op, function, family, part, line, factor of the width of the output
    ("aten::native_layer_norm", "layer_norm", "norm", "norm", 9, 1),
    ("aten::addmm", "linear", "linear", "attention", 10, 1),
    ("aten::_softmax", "softmax", "softmax", "", 11, 1),
    ("aten::add", "add", "elementwise", "", 11, 1),
    ("aten::addmm", "linear", "linear", "up", 12, 4),
    ("aten::relu", "relu", "elementwise", "", 12, 4),
    ("aten::addmm", "linear", "linear", "down", 13, 1),
    ("aten::log1p", "log1p", "elementwise", "", 14, 1),
    ("aten::add", "add", "elementwise", "", 14, 1),
]
WIDTH, BATCH = 64, 32


class Training:
    """A made-up training run: `layers` blocks, forward and backward, with plausible statistics."""

    def __init__(self, layers: int, nan_step: int | None) -> None:
        self.layers = layers
        self.nan_step = nan_step
        self.seq = count()
        self.time = 0.0
        self.poisoned = False

    def header(self) -> Iterator[Event]:
        options = {"level": "stats", "gradients": "parameters"}
        yield RunStart(
            next(self.seq), SCHEMA_VERSION, VERSION, "2026-01-05T09:00:00.000+00:00", "3.12.0", "Linux",
            ("train.py",), "/home/user/project", 4242, options, host="box",
        )  # fmt: skip
        yield Framework(next(self.seq), "torch", "2.13.0")
        yield Source(next(self.seq), FILE, "\n".join(LINES) + "\n")
        for layer in range(self.layers):
            for part, line in (("norm", 4), ("attention", 5), ("up", 6), ("down", 7)):
                yield Declaration(
                    next(self.seq), f"blocks.{layer}.{part}", "Linear", self.site(line), "traceback",
                    {"in_features": WIDTH},
                )  # fmt: skip

    def step(self, step: int) -> Iterator[Event]:
        previous, made = None, []
        for layer in range(self.layers):
            for index, (op, function, family, part, line, factor) in enumerate(OPS):
                if step == self.nan_step and layer == self.layers // 2 and function == "log1p":
                    self.poisoned = True
                module = f"blocks.{layer}.{part}" if part else f"blocks.{layer}"
                node = self.node(step, op, function, family, module, line, factor, previous, "forward")
                made.append((node, index, factor))
                previous = node.seq
                yield node
        for node, _, factor in reversed(made):
            back = self.node(
                step, node.op + "_backward", node.function + "_backward", node.family, node.module,
                node.site.line, factor, previous, "backward", node.seq,
            )  # fmt: skip
            previous = back.seq
            yield back
            if node.family == "linear":
                fact = self.fact((WIDTH, WIDTH * factor), step, 0.01)
                yield Gradient(
                    next(self.seq), step, fact, f"{node.module}.weight", node.seq, 0, back.seq, node.site
                )

    def node(self, step, op, function, family, module, line, factor, previous, phase, forward=None) -> Node:
        self.time += 12e-6
        fact = self.fact((BATCH, WIDTH * factor), step, 1.0)
        inputs = (Operand(self.fact((BATCH, WIDTH), step, 1.0, bare=True), "node", previous, role="input"),)
        if family == "linear":
            weight = TensorFact((WIDTH * factor, WIDTH), "float32")
            inputs += (Operand(weight, "parameter", None, name=f"{module}.weight", role="weight"),)
        return Node(
            next(self.seq), step, op, function, family, "torch", "eager", phase, module=module,
            site=self.site(line), inputs=inputs, outputs=(fact,), forward=forward,
            time=round(self.time, 6), duration=1.1e-05,
        )  # fmt: skip

    def fact(self, shape, step, scale, *, bare=False) -> TensorFact:
        if bare:
            return TensorFact(shape, "float32")
        wave = scale * (1 + 0.5 * math.sin(step / 7 + shape[-1]))
        bad = self.poisoned
        low: Number = round(-3 * wave, 5)
        stats = Stats(
            nan=math.prod(shape) if bad else 0, zero=3, min=None if bad else low, max=None if bad else -low,
            mean=None if bad else round(wave / 50, 6), std=None if bad else round(wave, 5),
            l2=None if bad else round(wave * math.sqrt(math.prod(shape)), 4),
        )  # fmt: skip
        return TensorFact(shape, "float32", finite=not bad, stats=stats)

    def site(self, line: int) -> Site:
        return Site(FILE, line, 8, line, len(LINES[line - 1]), "Block.forward")


def write(path: Path, events: int, layers: int, *, nan: bool) -> int:
    """Write about `events` events to `path` and return how many were written."""
    a_step = layers * (2 * len(OPS) + 3)
    steps = max(1, (events - 3) // a_step)
    training = Training(layers, steps * 3 // 4 if nan else None)
    log = LogWriter(path)
    written = list(training.header())
    log.write(written)
    total = len(written)
    for step in range(steps):
        batch = list(training.step(step))
        log.write(batch)
        total += len(batch)
    log.write([End(next(training.seq), "completed", steps, total + 1, round(training.time, 6))])
    log.close()
    return total + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--nan", action="store_true", help="a NaN is born after three quarters of the steps")
    arguments = parser.parse_args()
    total = write(arguments.path, arguments.events, arguments.layers, nan=arguments.nan)
    size = arguments.path.stat().st_size
    print(f"{arguments.path}: {total} events, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
