"""Page: a run as plain rows (what ran, how it ended, what is wrong, its nodes); every view draws this."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import islice

import msgspec

from graphdebug.model.event import End, Failure, Node
from graphdebug.model.finding import Finding
from graphdebug.model.run import Run
from graphdebug.view.rows import NodeRow, node_rows
from graphdebug.view.select import Selection, Watch, selected
from graphdebug.view.words import clean, seconds_text, site_text

__all__ = ["FindingRow", "Page", "Summary", "Table", "finding_rows", "focus", "page", "summary", "table"]


class Summary(msgspec.Struct, frozen=True):
    """What ran, where, and how it ended."""

    command: str
    place: str
    started: str
    status: str
    counts: str
    frameworks: str
    level: str
    remarks: tuple[str, ...]
    """Notices, and failures of graphdebug itself."""
    damage: tuple[str, ...]
    """What of the log could not be read, as far as it was looked at."""


class FindingRow(msgspec.Struct, frozen=True):
    """A finding as text, with the events it rests on."""

    kind: str
    line: str
    text: str
    confidence: float
    evidence: tuple[int, ...]


class Table(msgspec.Struct, frozen=True):
    """Nodes as rows, and in words which nodes these are."""

    rows: tuple[NodeRow, ...]
    said: str


class Page(msgspec.Struct, frozen=True):
    """The first thing to see of a run."""

    summary: Summary
    findings: tuple[FindingRow, ...]
    table: Table


def page(run: Run, *, limit: int = 40) -> Page:
    """Return the page of `run`, with at most `limit` nodes (0 for all): those around the first finding."""
    seq = focus(run)
    shown = table(run, Selection(), limit=limit) if seq is None or not limit else table_around(run, seq, limit)
    findings = finding_rows(run.findings)
    return Page(summary(run), findings, shown)


def focus(run: Run) -> int | None:
    """Return the sequence number of the node to look at first: where the finding is, or the last failure."""
    for finding in run.findings:
        for seq in finding.evidence:
            if run.node(seq) is not None:
                return seq
    for failure in reversed(run.failures):
        if failure.node is not None and run.node(failure.node) is not None:
            return failure.node
        produced = [one.producer for one in failure.operands if one.producer is not None]
        if produced:
            return max(produced)
    return None


def table(run: Run, selection: Selection, *, limit: int, watch: Watch | None = None) -> Table:
    """Return the first `limit` nodes (0 for all) that `selection` wants."""
    wanted = selected(run, selection, watch)
    nodes = list(islice(wanted, limit)) if limit else list(wanted)
    more = limit and next(wanted, None) is not None
    if selection.is_empty():
        said = f"the first {len(nodes)} of {len(run.nodes)} nodes" if more else f"all {len(nodes)} nodes"
    elif not nodes:
        said = f"none of {len(run.nodes)} nodes is selected"
    else:
        said = f"the first {len(nodes)} of the selected nodes" if more else f"{len(nodes)} selected nodes"
    return Table(node_rows(run, nodes), said)


def table_around(run: Run, seq: int, limit: int) -> Table:
    """Return the nodes before and after the one with number `seq`, of its own step and the steps beside it."""
    center = run.node(seq)
    if center is None:
        return Table((), f"there is no node {seq}")
    nodes = list(run.step(center.step).nodes)
    at = next((index for index, node in enumerate(nodes) if node.seq >= seq), 0)
    start = max(0, min(at - limit // 2, len(nodes) - limit))
    nodes = nodes[start : start + limit]
    return Table(
        node_rows(run, nodes),
        f"{len(nodes)} nodes of step {center.step} around {seq}, of {len(run.nodes)} in all",
    )


def finding_rows(findings: Sequence[Finding]) -> tuple[FindingRow, ...]:
    """Return findings as rows."""
    return tuple(
        FindingRow(one.kind, site_text(one.site), clean(one.text, lines=True), one.confidence, one.evidence)
        for one in findings
    )


def summary(run: Run) -> Summary:
    """Return what ran, where, and how it ended."""
    start = run.start
    options = start.options if start else {}
    place = [start.cwd, start.host, f"python {start.python}", f"pid {start.pid}"] if start else []
    if start and run.ranks:
        ranks = ", ".join(map(str, run.ranks[:_MOST_RANKS])) + (", ..." if len(run.ranks) > _MOST_RANKS else "")
        place.append(f"rank {ranks}" + (f" of {start.world_size}" if start.world_size else ""))
    return Summary(
        command=clean(shlex.join(start.argv)) if start else "unknown",
        place=clean(", ".join(one for one in place if one)),
        started=clean(start.started) if start else "",
        status=_status(run.end, run.failures),
        counts=_counts(run),
        frameworks=clean(", ".join(dict.fromkeys(f"{one.name} {one.version}" for one in run.frameworks))),
        level=clean(str(options.get("level", ""))),
        remarks=_remarks(run),
        damage=tuple(clean(line) for line in run.damage),
    )


def _status(end: End | None, failures: Sequence[Failure]) -> str:
    if end is None:
        said = "not finished: the log has no end (still running, or killed)"
    else:
        said = f"{end.status} after {end.steps} step{'s' * (end.steps != 1)}, {seconds_text(end.seconds)}"
    if not failures:
        return said
    last = failures[-1]
    message = clean(last.message.strip().partition("\n")[0][:160])
    where = f" at {site_text(last.site)}" if last.site else ""
    return f"{said}; {clean(last.error)}{where}: {message}"


def _counts(run: Run) -> str:
    counts = {
        "node": len(run.nodes), "gradient": len(run.gradients), "declaration": len(run.declarations),
        "failure": len(run.failures),
    }  # fmt: skip
    return (
        ", ".join(f"{count:,} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)
        or "nothing"
    )


def _remarks(run: Run) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    for notice in run.notices:
        where = f" ({site_text(notice.site)})" if notice.site else ""
        text = clean(f"{notice.topic}: {notice.text}") + where
        seen[text] = seen.get(text, 0) + 1
    for error in run.tool_errors:
        text = clean(f"graphdebug failed in {error.where}: {error.message}")
        seen[text] = seen.get(text, 0) + 1
    remarks = [text if count == 1 else f"{text} ({count} times)" for text, count in seen.items()]
    if len(remarks) > _MOST_REMARKS:
        remarks = [*remarks[:_MOST_REMARKS], f"{len(remarks) - _MOST_REMARKS} more notices"]
    return tuple(remarks)


_MOST_REMARKS = 12
_MOST_RANKS = 8


def last_step(run: Run) -> int | None:
    """Return the step to look at first: that of the finding or failure, else the last one with nodes."""
    seq = focus(run)
    center = run.node(seq)
    if center is not None:
        return center.step
    if run.failures and run.step(run.failures[-1].step).nodes:
        return run.failures[-1].step
    nodes: Sequence[Node] = run.nodes
    return nodes[-1].step if nodes else None
