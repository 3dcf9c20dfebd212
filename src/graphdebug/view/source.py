"""Source: the user's files, line by line, with what ran on each line in one step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from graphdebug.model.event import Node, Site
from graphdebug.model.finding import Finding
from graphdebug.model.run import Run
from graphdebug.view.rows import worst
from graphdebug.view.words import clean, health, seconds_text, shapes_text

__all__ = ["SourceFile", "SourceLine", "annotated_sources"]


class SourceLine(msgspec.Struct, frozen=True):
    """One line of source, and what its last node did."""

    number: int
    text: str
    shapes: str = ""
    health: str = ""
    nodes: int = 0
    """Nodes of all phases whose line this is."""
    time: str = ""
    seq: int | None = None
    """The first node that is not finite, a forward one before others, else the last forward one."""
    mark: str = ""
    """``fault`` where a finding says the fault was born, ``suspect`` where it names a candidate."""


class SourceFile(msgspec.Struct, frozen=True):
    """One of the user's files."""

    file: str
    lines: tuple[SourceLine, ...]


def annotated_sources(run: Run, step: int) -> tuple[SourceFile, ...]:
    """Return the recorded files in which nodes of `step` or findings have their lines."""
    nodes: dict[tuple[str, int], list[Node]] = {}
    for node in run.step(step).nodes:
        for site in _places(node):
            nodes.setdefault((site.file, site.line), []).append(node)
    marks = _marks(run.findings)
    for failure in run.failures:
        if failure.site is not None:
            marks.setdefault((failure.site.file, failure.site.line), "suspect")
    files = dict.fromkeys(file for file, _ in (*marks, *nodes))
    return tuple(_file(file, run.source_lines(file), nodes, marks) for file in files if run.source_lines(file))


def _places(node: Node) -> Iterable[Site]:
    return [site for site in (node.site, node.run_site) if site is not None]


def _marks(findings: Sequence[Finding]) -> dict[tuple[str, int], str]:
    marks: dict[tuple[str, int], str] = {}
    for finding in findings:
        if finding.site is not None:
            marks[finding.site.file, finding.site.line] = "fault"
        for one in finding.candidates:
            marks.setdefault((one.site.file, one.site.line), "suspect")
    return marks


def _file(
    file: str,
    texts: Sequence[str],
    nodes: dict[tuple[str, int], list[Node]],
    marks: dict[tuple[str, int], str],
) -> SourceFile:
    lines = tuple(
        _line(number, text, nodes.get((file, number), ()), marks.get((file, number), ""))
        for number, text in enumerate(texts, 1)
    )
    return SourceFile(clean(file), lines)


def _line(number: int, text: str, nodes: Sequence[Node], mark: str) -> SourceLine:
    text = clean(text, lines=True)
    if not nodes:
        return SourceLine(number, text, mark=mark)
    forward = [node for node in nodes if node.phase in ("forward", "build")] or nodes
    sick = _first_sick(forward) or _first_sick(nodes)
    node = sick if sick in forward and sick is not None else forward[-1]
    fact = worst((sick or node).outputs)
    later = f"{sick.phase} " if sick is not None and sick is not node else ""
    taken = shapes_text([one.fact for one in node.inputs])
    spent = sum(one.duration for one in nodes)
    return SourceLine(
        number,
        text,
        shapes=" -> ".join(one for one in (taken, shapes_text(node.outputs)) if one),
        health=later + health(fact) if fact else "",
        nodes=len(nodes),
        time=seconds_text(spent) if spent else "",
        seq=(sick or node).seq,
        mark=mark,
    )


def _first_sick(nodes: Sequence[Node]) -> Node | None:
    return next((one for one in nodes if any(fact.finite is False for fact in one.outputs)), None)
