"""Report: everything the HTML shows of a run, as plain rows that fit into one file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from graphdebug.model.event import Node
from graphdebug.model.run import Run
from graphdebug.view.graph import Graph, step_graph
from graphdebug.view.page import FindingRow, Summary, finding_rows, focus, last_step, summary
from graphdebug.view.path import data_first
from graphdebug.view.rows import NodeRow, gradients_by_node, node_row
from graphdebug.view.select import Watch
from graphdebug.view.series import Series, layer_series
from graphdebug.view.source import SourceFile, annotated_sources
from graphdebug.view.words import clean, site_text

__all__ = ["Columns", "Report", "report"]

_MOST_NODES = 100_000


class Columns(msgspec.Struct, frozen=True):
    """The node table by columns; of text columns each different text is held once."""

    count: int
    numbers: dict[str, list[Any]]
    texts: dict[str, tuple[list[str], list[int]]]
    """By name: the different texts, and for each node which it has."""
    producers: list[list[int]]
    """By node: the numbers of the nodes that made its inputs, the one of its data first."""
    said: str


class Report(msgspec.Struct, frozen=True):
    """One run as the HTML shows it."""

    title: str
    summary: Summary
    findings: tuple[FindingRow, ...]
    focus: int | None
    graph: Graph | None
    sources: tuple[SourceFile, ...]
    series: Series
    nodes: Columns
    declared: dict[str, str]
    """Where each layer, parameter and variable was declared."""


def report(run: Run, title: str, *, most_nodes: int = _MOST_NODES, watch: Watch | None = None) -> Report:
    """Return the report of `run`; of more than `most_nodes` nodes it holds some steps, and says so."""
    step = last_step(run)
    series = layer_series(run, watch)
    return Report(
        title=clean(title),
        findings=finding_rows(run.findings),
        focus=_shown_first(run),
        graph=None if step is None else step_graph(run, step),
        sources=() if step is None else annotated_sources(run, step),
        series=series,
        nodes=_columns(run, *_sampled(run, step, most_nodes)),
        declared={clean(one.name): f"{clean(one.type)} {site_text(one.site)}" for one in run.declarations},
        summary=summary(run),
    )


def _shown_first(run: Run) -> int | None:
    failure = next(iter(reversed(run.failures)), None)
    if failure is None:
        return focus(run)
    return failure.node if failure.node is not None else failure.seq


def _sampled(run: Run, step: int | None, most: int) -> tuple[Sequence[Node], str]:
    """The nodes to hold: all, or those of some whole steps: the one in focus, the ends, then evenly between."""
    if len(run.nodes) <= most:
        return list(run.nodes), ""
    kept: dict[int, list[Node]] = {}
    left = most
    for number in _in_turn(run.steps, step):
        nodes = list(run.step(number).nodes)[:left]
        kept[number] = nodes
        left -= len(nodes)
        if left < len(nodes):
            break
    chosen = [node for number in sorted(kept) for node in kept[number]]
    return (
        chosen,
        f"{len(chosen):,} of {len(run.nodes):,} nodes: those of {len(kept):,} of {len(run.steps):,} steps",
    )


def _in_turn(steps: Sequence[int], first: int | None) -> Iterable[int]:
    """The steps, most wanted first: `first`, the ends, then every half, quarter, eighth of the way."""
    wanted = dict.fromkeys(([] if first is None else [first]) + [steps[0], steps[-1]])
    stride = len(steps)
    while stride > 1:
        stride = max(1, stride // 2)
        wanted.update(dict.fromkeys(steps[::stride]))
    return wanted


_NUMBERS = ("seq", "step", "rank", "min", "max", "mean", "std", "l2", "duration")
_TEXTS = ("phase", "op", "function", "module", "line", "shapes_in", "shapes_out", "dtype", "health", "gradient",
          "execution", "mode")  # fmt: skip


def _columns(run: Run, nodes: Sequence[Node], said: str) -> Columns:
    numbers: dict[str, list[Any]] = {name: [] for name in _NUMBERS}
    seen: dict[str, dict[str, int]] = {name: {} for name in _TEXTS}
    codes: dict[str, list[int]] = {name: [] for name in _TEXTS}
    producers: list[list[int]] = []
    gradients = gradients_by_node(run, nodes)
    for node in nodes:
        row = node_row(node, gradients.get(node.seq), run.rank(node))
        for name in _NUMBERS:
            numbers[name].append(_short(getattr(row, name)))
        for name in _TEXTS:
            codes[name].append(_code(row, name, seen[name]))
        producers.append([one.producer for one in data_first(node.inputs) if one.producer is not None])
    texts = {name: (list(seen[name]), codes[name]) for name in _TEXTS}
    return Columns(len(nodes), numbers, texts, producers, said)


def _code(row: NodeRow, name: str, seen: dict[str, int]) -> int:
    return seen.setdefault(getattr(row, name), len(seen))


def _short(value: Any) -> Any:
    """A float with five digits: what a table can show."""
    return float(f"{value:.5g}") if isinstance(value, float) else value
