"""Measure how long a failing run of many events makes its user wait for the report, in real torch programs.

Example: python benchmarks/note.py --events 1000000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import graphdebug


def wrong_shape(net: nn.Module) -> None:
    """Feed the net another width."""
    net(torch.randn(8, 17))


def backward_twice(net: nn.Module) -> None:
    """Go backward through one graph twice."""
    loss = net(torch.randn(8, 16)).sum()
    loss.backward()
    loss.backward()


def own_check(net: nn.Module) -> None:
    """Raise an error that no framework knows, at the first NaN."""
    loss = torch.log(net(torch.randn(8, 16)).sum() * 0 - 1)
    if not torch.isfinite(loss):
        raise ValueError("the loss is not finite")


def own_error(net: nn.Module) -> None:  # noqa: ARG001 - as the others
    """Raise an error that has nothing to do with tensors."""
    raise ValueError("no such file")


def trained(net: nn.Module, steps: int) -> None:
    """Train `net` for some steps."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(net(torch.randn(8, 16)), torch.zeros(8, 1)).backward()
        optimizer.step()


def network() -> nn.Module:
    """Return a small net."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))


def events_of_a_step() -> float:
    """Return how many events a step of training makes."""
    with graphdebug.record() as run:
        trained(network(), 20)
    return len(run.events) / 20


def waited(path: Path | None, steps: int, fail: Callable[[nn.Module], None]) -> tuple[float, int, str]:
    """Train, then fail: return the seconds until the exception is out, the events, the report's headline."""
    net = network()
    run = graphdebug.record(path)
    began = 0.0
    try:
        with run:
            trained(net, steps)
            began = time.perf_counter()
            fail(net)
    except (RuntimeError, ValueError) as error:
        seconds = time.perf_counter() - began
        notes = [note for note in getattr(error, "__notes__", ()) if note.startswith("graphdebug")]
        return seconds, run.end.events if run.end else 0, notes[0].splitlines()[0] if notes else "(no note)"
    raise SystemExit(f"{fail.__name__} did not fail")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    torch.set_num_threads(1)
    steps = int(events / events_of_a_step())
    print("| log | failure | events | seconds to the note | note |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in {"file": Path(folder) / "run.jsonl", "memory": None}.items():
            for fail in (wrong_shape, backward_twice, own_check, own_error):
                seconds, total, note = waited(path, steps, fail)
                print(f"| {kind} | {fail.__name__} | {total:,} | {seconds:.2f} | {note} |", flush=True)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")


if __name__ == "__main__":
    main()
