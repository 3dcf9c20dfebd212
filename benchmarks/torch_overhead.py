"""What recording costs a torch training step, beside the peers, interleaved in one run on one core.

    python -m benchmarks.torch_overhead [--rounds N] [--networks NAME ...] [--out FOLDER] [--cpu]

A round trains the same network for the same number of steps in each way of recording, one after the other,
each round starting with another way. A way's figure in a round is the median of its steps divided by that of
the plain steps of this round; what is shown is the median over the rounds, so that a machine that gets slower
or faster meanwhile changes little. Our logs are written to disk, and each timed step writes its share. Prints
the table; writes torch_overhead.json and torch_overhead.svg into the folder.

The process starts itself anew with an allocator that keeps freed memory: where small objects lie decides if
glibc gives the pages of large tensors back to the system, for plain steps as for recorded ones (0 to 1100 page
faults a step on the LeNet-like network, from process to process).

Peers, where they are installed: torchlens traces the forward pass only (its `trace` takes the place of the
step's forward; backward and optimizer are plain); transformers' DebugUnderflowOverflow looks at the absolute
extremes of modules' inputs, outputs and weights in forward, by hooks, and keeps those of the last 21 modules.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import graphdebug
from benchmarks.torch_models import NETWORKS, Training

SETTINGS = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
}  # fmt: skip
"""The environment that the process is started anew in."""
STEPS = {
    "tiny MLP": 60, "LeNet-like": 12, "ResNet-18-like": 3, "transformer, 4 layers": 3, "transformer, AdamW": 3
}  # fmt: skip
"""Timed steps of a way in a round, after one that is not timed."""
LENS = "torchlens (forward traced)"
TARGETS = {
    "graphdebug shapes": {
        "tiny MLP": 4.2, "LeNet-like": 1.12, "ResNet-18-like": 1.06, "transformer, 4 layers": 1.05
    },
    "graphdebug health": {
        "tiny MLP": 4.3, "LeNet-like": 1.17, "ResNet-18-like": 1.08, "transformer, 4 layers": 1.07
    },
    "graphdebug stats": {
        "tiny MLP": 4.5, "LeNet-like": 1.22, "ResNet-18-like": 1.12, "transformer, 4 layers": 1.10
    },
}  # fmt: skip


class Clock:
    """Which clock takes the times."""

    cpu = False


Way = Callable[[Training], AbstractContextManager[object]]


def ours(level: str) -> Way:
    folder = Path(tempfile.mkdtemp())

    def enter(_training: Training) -> AbstractContextManager[object]:
        return graphdebug.record(folder / "run.jsonl", level=level)

    return enter


@contextmanager
def module_hooks(training: Training) -> Iterator[None]:
    """What people write: eight reductions over every module's output."""

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.is_floating_point():
            values = output.detach()
            seen.append(
                (values.min().item(), values.max().item(), values.mean().item(), values.std().item(),
                 values.norm().item(), int(values.isnan().sum()), int(values.isinf().sum()),
                 int((values == 0).sum()))
            )  # fmt: skip

    seen: list[tuple[float, ...]] = []
    handles = [module.register_forward_hook(look) for module in training.net.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Empty(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed by mypy
    """What torch takes to show every op to Python, which runs it: the floor of all that sees ops there."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func._op(*args, **(kwargs or {}))


@contextmanager
def debug_mode(hashes: bool = False, **options: bool) -> Iterator[None]:
    from torch.utils._debug_mode import DebugMode

    with DebugMode(**options), DebugMode.log_tensor_hashes() if hashes else nullcontext():
        yield


@contextmanager
def underflow_overflow(training: Training) -> Iterator[None]:
    from transformers.debug_utils import DebugUnderflowOverflow

    before = {module: dict(module._forward_hooks) for module in training.net.modules()}
    DebugUnderflowOverflow(training.net)
    try:
        yield
    finally:
        for module, hooks in before.items():
            module._forward_hooks.clear()
            module._forward_hooks.update(hooks)


def ways() -> dict[str, Way]:
    found: dict[str, Way] = {
        "plain": lambda _: nullcontext(),
        "empty dispatch mode": lambda _: Empty(),
        "graphdebug shapes": ours("shapes"),
        "graphdebug health": ours("health"),
        "graphdebug stats": ours("stats"),
        "anomaly mode, check_nan": lambda _: torch.autograd.detect_anomaly(check_nan=True),
        "DebugMode": lambda _: debug_mode(),
        "DebugMode, stack traces": lambda _: debug_mode(record_stack_trace=True),
        "DebugMode, hashes": lambda _: debug_mode(hashes=True),
        "module hooks, 8 reductions": module_hooks,
    }
    if importlib.util.find_spec("transformers"):
        found["DebugUnderflowOverflow"] = underflow_overflow
    return found


def torchlens_steps(training: Training, steps: int) -> list[float]:
    """Seconds of steps whose forward is traced by torchlens: it takes the place of the plain forward."""
    import torchlens

    inputs = training.batch[:-1]
    times = []
    for _ in range(steps):
        began = clock()
        torchlens.trace(training.net, inputs)
        traced = clock()
        training.net(*inputs)
        plain = clock() - traced
        times.append(traced - began - plain + _timed(training, 1)[0])
    return times


def _timed(training: Training, steps: int) -> list[float]:
    times = []
    for _ in range(steps):
        began = clock()
        training.step()
        times.append(clock() - began)
    return times


def clock() -> float:
    """Seconds by the clock that was asked for."""
    return time.process_time() if Clock.cpu else time.perf_counter()


def measured(name: str, rounds: int) -> tuple[float, dict[str, float]]:
    """Seconds of a plain step, and the ratio of each way to it."""
    torch.manual_seed(0)
    training = NETWORKS[name]()
    entering = list(ways().items())
    plain: list[float] = []
    ratios: dict[str, list[float]] = {way: [] for way, _ in entering if way != "plain"}
    lens = importlib.util.find_spec("torchlens") is not None
    _timed(training, 3)
    if lens:
        torchlens_steps(training, 1)  # it imports and prepares
        ratios[LENS] = []
    for number in range(rounds):
        times: dict[str, float] = {}
        start = number % len(entering)
        for way, enter in entering[start:] + entering[:start]:
            with enter(training):
                training.step()  # declares the network
                times[way] = statistics.median(_timed(training, STEPS[name]))
        if lens:
            times[LENS] = statistics.median(torchlens_steps(training, 1))
        plain.append(times.pop("plain"))
        for way, taken in times.items():
            ratios[way].append(taken / plain[-1])
    return statistics.median(plain), {way: statistics.median(taken) for way, taken in ratios.items()}


def shown(results: dict[str, tuple[float, dict[str, float]]]) -> Table:
    table = Table(title="ratio of a training step to a plain one (target)")
    table.add_column("")
    for name, (plain, _) in results.items():
        table.add_column(f"{name}\n{plain * 1e3:.3g} ms", justify="right")
    for way in next(iter(results.values()))[1]:
        cells = []
        for name, (_, ratios) in results.items():
            target = TARGETS.get(way, {}).get(name)
            cells.append(f"{ratios[way]:.2f}" + (f" ({target:.2f})" if target else ""))
        table.add_row(way, *cells)
    return table


def drawn(results: dict[str, tuple[float, dict[str, float]]]) -> str:
    """The table as horizontal bars, one panel a network, on a scale of their own up to five times plain."""
    width, bar, rows = 360, 16, []
    y = 20
    for name, (plain, ratios) in results.items():
        rows.append(f'<text x="10" y="{y}" font-weight="bold">{name}: plain {plain * 1e3:.3g} ms</text>')
        for way, ratio in ratios.items():
            y += bar + 4
            length = min(ratio, 5) / 5 * width
            colour = "#2a6f97" if way.startswith("graphdebug") else "#b0b0b0"
            rows.append(
                f'<text x="10" y="{y}">{way}</text><rect x="220" y="{y - 12}" width="{length:.0f}" '
                f'height="{bar - 2}" fill="{colour}"/><text x="{226 + length:.0f}" y="{y}">{ratio:.2f}</text>'
            )
        y += 2 * bar
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="{y}" font-family="sans-serif" '
    return head + 'font-size="12">\n' + "\n".join(rows) + "\n</svg>\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the .json and the .svg")
    parser.add_argument(
        "--cpu", action="store_true", help="the process's CPU time, where the machine is not quiet"
    )
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.torch_overhead", *sys.argv[1:]],
            {**os.environ, **SETTINGS},
        )  # fmt: skip
    Clock.cpu = options.cpu
    torch.set_num_threads(1)
    results = {name: measured(name, options.rounds) for name in options.networks}
    Console(width=140).print(shown(results))
    options.out.mkdir(parents=True, exist_ok=True)
    held = {name: {"plain seconds": plain, **ratios} for name, (plain, ratios) in results.items()}
    (options.out / "torch_overhead.json").write_text(json.dumps(held, indent=2))
    (options.out / "torch_overhead.svg").write_text(drawn(results))


if __name__ == "__main__":
    main()
