"""Measure how long a failing run of many events makes its user wait for the report, in real torch programs:
until the exception is out with its note, and for `graphdebug explain` of its log.

Example: python benchmarks/note.py --events 1000000 --failure wrong_shape

A million events take about half a minute to record: all failures together some minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
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


FAILURES = {one.__name__: one for one in (wrong_shape, backward_twice, own_check, own_error)}


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


def waited(kind: str, steps: int, name: str) -> str:
    """Train, then fail: return a row of the table. Runs in a process of its own, for its peak memory."""
    torch.set_num_threads(1)
    fail, net, usage = FAILURES[name], network(), resource.RUSAGE_SELF
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "run.jsonl" if kind == "file" else None
        run = graphdebug.record(log)
        try:
            with run:
                trained(net, steps)
                before = resource.getrusage(usage).ru_maxrss / 1000
                began, cpu = time.perf_counter(), time.process_time()
                fail(net)
        except (RuntimeError, ValueError) as error:
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            notes = [note for note in getattr(error, "__notes__", ()) if note.startswith("graphdebug")]
            said = notes[0].splitlines()[0] if notes else "(no note)"
            after = resource.getrusage(usage).ru_maxrss / 1000
            explained = explaining(log) if log is not None else "- | - | -"
            events = run.end.events if run.end is not None else 0
            return (
                f"| {kind} | {name} | {events:,} | {seconds:.2f} | {cpu:.2f} | {before:.0f} -> {after:.0f} "
                f"| {explained} | {said} |"
            )
    raise SystemExit(f"{name} did not fail")


EXPLAIN = """
import sys, time
began = time.perf_counter()
from graphdebug.cli import main
try:
    main(["explain", sys.argv[1]])
finally:
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    seconds = time.perf_counter() - began, time.process_time()
    print(f"{seconds[0]:.1f} | {seconds[1]:.1f} | {int(peak) / 1000:.0f}", file=sys.stderr)
"""


def explaining(log: Path) -> str:
    """Seconds, CPU seconds and peak memory in MB of ``graphdebug explain``, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", EXPLAIN, log], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="of a log that is a file")
    parser.add_argument("--in-memory", type=int, default=100_000, help="events of a run without a file")
    parser.add_argument("--failure", choices=FAILURES, action="append", help="only this one")
    asked = parser.parse_args()
    a_step = events_of_a_step()
    heads = ("log", "failure", "events", "note, s", "CPU, s", "peak MB before -> after", "explain, s", "CPU, s",
             "peak MB", "note")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    fresh = multiprocessing.get_context("spawn")
    for kind, events in (("file", asked.events), ("memory", asked.in_memory)):
        for name in asked.failure or FAILURES:
            with fresh.Pool(1) as pool:
                print(pool.apply(waited, (kind, int(events / a_step), name)), flush=True)


if __name__ == "__main__":
    main()
