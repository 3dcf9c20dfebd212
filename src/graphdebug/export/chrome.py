"""Chrome trace: nodes on a time line, steps above them, arrows from forward to backward; Perfetto opens it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from graphdebug.model.event import Gradient, Node
from graphdebug.model.run import Run
from graphdebug.view.rows import node_row
from graphdebug.view.select import Watch
from graphdebug.view.words import clean

__all__ = ["SUFFIX", "write"]

SUFFIX = ".json"
_STEPS, _SEQ_LENGTH = 1, 10.0
"""The thread number of the track of steps, and microseconds a node gets where no times were taken."""
_SHOWN = ("seq", "step", "module", "line", "op", "shapes_in", "shapes_out", "health", "l2")
_Traced = dict[str, Any]


def write(run: Run, output: Path, watch: Watch) -> str:
    """Write a trace in the Trace Event Format (JSON); return what was written."""
    encode = msgspec.json.encode
    with output.open("wb") as file:
        file.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
        for number, event in enumerate(_trace(run, watch)):
            file.write((b",\n" if number else b"") + encode(event))
        file.write(b"\n]}\n")
    return f"{len(run.nodes):,} nodes; open it at https://ui.perfetto.dev or chrome://tracing"


def _trace(run: Run, watch: Watch) -> Iterator[_Traced]:
    timed = next((node.time for node in reversed(run.nodes)), 0.0) > 0
    spans: dict[tuple[int, int], tuple[float, float]] = {}
    threads: set[tuple[int, int]] = set()
    for node in watch(run.nodes):
        process = run.rank(node) or 0
        start, length = _span(node, timed=timed)
        low, high = spans.get((process, node.step), (start, start))
        spans[process, node.step] = min(low, start), max(high, start + length)
        threads.add((process, _thread(node)))
        yield from _of_node(node, process, start, length)
    for (process, step), (low, high) in spans.items():
        yield {
            "ph": "X",
            "name": f"step {step}",
            "cat": "step",
            "pid": process,
            "tid": _STEPS,
            "ts": low,
            "dur": high - low,
        }
    for one in run.gradients:
        process = run.rank(one) or 0
        if one.name and one.fact.stats and one.fact.stats.l2 is not None and (process, one.step) in spans:
            yield _counter(one, process, spans[process, one.step][1])
    yield from _names(run, threads)


def _span(node: Node, *, timed: bool) -> tuple[float, float]:
    """Start and length in microseconds; by number where the run took no times."""
    if not timed:
        return node.seq * _SEQ_LENGTH, _SEQ_LENGTH
    return round(node.time * 1e6, 3), round(max(node.duration * 1e6, 0.1), 3)


def _thread(node: Node) -> int:
    return 2 + abs(node.thread) % 2**31


def _of_node(node: Node, process: int, start: float, length: float) -> Iterator[_Traced]:
    row = node_row(node)
    place = {"pid": process, "tid": _thread(node)}
    shown = {name: getattr(row, name) for name in _SHOWN if getattr(row, name) not in ("", None)}
    yield {
        "ph": "X",
        "name": row.function or row.op,
        "cat": node.phase,
        "ts": start,
        "dur": length,
        "args": shown,
        **place,
    }
    arrow = {"name": "backward", "cat": "backward", "ts": start + length / 2, **place}
    if node.phase == "backward" and node.forward is not None:
        yield {"ph": "f", "bp": "e", "id": node.forward, **arrow}
    elif node.phase == "forward":
        yield {"ph": "s", "id": node.seq, **arrow}


def _counter(one: Gradient, process: int, at: float) -> _Traced:
    norm = float(one.fact.stats.l2 or 0) if one.fact.stats else 0.0
    return {
        "ph": "C",
        "name": f"gradient {clean(one.name)}",
        "pid": process,
        "tid": 0,
        "ts": at,
        "args": {"l2": norm},
    }


def _names(run: Run, threads: set[tuple[int, int]]) -> Iterator[_Traced]:
    command = clean(" ".join(run.start.argv)) if run.start else "run"
    for process in sorted({process for process, _ in threads}):
        name = f"{command} (rank {process})" if run.ranks else command
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": _STEPS, "args": {"name": "steps"}}
    for process, thread in sorted(threads):
        yield {
            "ph": "M",
            "name": "thread_name",
            "pid": process,
            "tid": thread,
            "args": {"name": f"nodes, thread {thread - 2}"},
        }
