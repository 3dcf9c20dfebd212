"""Report: the text of a finding: at most 15 lines, the culprit's line first, the way out last."""

from __future__ import annotations

import os
from collections.abc import Sequence

from graphdebug.diagnosis.source import SourceText
from graphdebug.diagnosis.words import place, shorten
from graphdebug.model.event import Site
from graphdebug.model.finding import Candidate
from graphdebug.model.run import Run

__all__ = ["LIMIT", "compose"]

LIMIT = 15
"""Most lines of a report."""


def compose(
    run: Run,
    source: SourceText,
    *,
    what: str,
    candidates: Sequence[Candidate],
    failed: Site | None = None,
    when: str = "",
    body: Sequence[str] = (),
    tries: Sequence[str] = (),
    seq: int | None = None,
) -> str:
    """Return the report.

    Args:
        run: the run that is reported on; its folder and log are named.
        source: the user's source, for the marked line.
        what: the fault, after ``graphdebug:``.
        candidates: the lines in question, the culprit first.
        failed: the line where it showed, if another one than the culprit.
        when: phase and step.
        body: lines of evidence, the most telling first; what does not fit into the limit is left out.
        tries: ways out.
        seq: the event to look at in the full record.

    """
    culprit = candidates[0].site if candidates else None
    when = _with_rank(run, when, seq)
    elsewhere = failed is not None and culprit is not None and not _same_line(failed, culprit)
    head = [_headline(run, what, culprit, failed if elsewhere else None, when), *source.excerpt(culprit)]
    if elsewhere:
        head += source.excerpt(failed)
    tail = [f"  try: {shorten(' or '.join(tries), 200)}"] if tries else []
    log = _log_path(run)
    if log:
        tail.append(f"  full record: graphdebug view {log}" + (f" --seq {seq}" if seq is not None else ""))
    shown = [f"  {shorten(line)}" if not line.startswith("  ") else _one_line(line)[:160] for line in body]
    others = _others(candidates[1:], (culprit, failed))
    room = LIMIT - len(head) - len(others) - len(tail)
    return "\n".join([*head, *shown[:room], *others, *tail])


def _headline(run: Run, what: str, culprit: Site | None, failed: Site | None, when: str) -> str:
    text = f"graphdebug: {shorten(what, 160)}"
    if culprit is not None:
        text += f", born at {_path(run, culprit)}" if failed is not None else f", at {_path(run, culprit)}"
    if failed is not None:
        text += f", shows at {place(failed) if culprit and culprit.file == failed.file else _path(run, failed)}"
    return f"{text} ({when})" if when else text


def _with_rank(run: Run, when: str, seq: int | None) -> str:
    """Add the rank that an event is of, where there are several."""
    if seq is None or len(run.ranks) < 2:
        return when
    return f"{when}, rank {run.store.rank_of(seq)}" if when else f"rank {run.store.rank_of(seq)}"


def _others(candidates: Sequence[Candidate], named: Sequence[Site | None]) -> list[str]:
    others = [
        one for one in candidates if not any(site is not None and _same_line(one.site, site) for site in named)
    ]
    if not others:
        return []
    return ["  or: " + shorten("; ".join(f"{place(one.site)} ({one.why})" for one in others[:3]), 240)]


def _one_line(text: str) -> str:
    """Return `text` without line breaks, as names can have them; its columns stay."""
    return " ".join(text.splitlines())


def _same_line(one: Site, other: Site) -> bool:
    return one.file == other.file and one.line == other.line


def _path(run: Run, site: Site) -> str:
    """Return the file relative to where the program was started, if it lies there, with the line."""
    home = os.path.join(run.start.cwd, "") if run.start is not None else ""
    file = site.file[len(home) :] if home and site.file.startswith(home) else site.file
    return f"{file}:{site.line}"


def _log_path(run: Run) -> str:
    path = getattr(run, "path", None) or getattr(run.store, "path", None)
    return "" if path is None else str(path)
