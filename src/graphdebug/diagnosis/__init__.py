"""Diagnosis: from a run alone, framework-blind, the findings that name the lines faults were born on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.failing import explain, unknown
from graphdebug.diagnosis.misuse import unreached
from graphdebug.diagnosis.ranks import compare_ranks
from graphdebug.diagnosis.scan import Scan
from graphdebug.model.event import Failure
from graphdebug.model.finding import Finding
from graphdebug.model.run import Run

__all__ = ["diagnose", "explain_failure"]


_OF_VALUES = ("nonfinite", "divergence")
"""Findings that explain a failure which is about values: a check that raised, an assertion."""


def diagnose(run: Run, *, allow: Sequence[str] = ()) -> Sequence[Finding]:
    """Return what is wrong in `run`, the most certain finding first; empty where nothing is.

    Args:
        run: any run.
        allow: patterns of nodes that may give NaN or Inf, beside those that `run` was recorded with.

    """
    return tuple(_findings(run, allow))


def explain_failure(run: Run) -> Finding | None:
    """Return the first finding: that of the exception which ended `run`, without looking at all its steps."""
    return next(_findings(run), None)


def _findings(run: Run, allow: Sequence[str] = ()) -> Iterator[Finding]:
    evidence = Evidence(run)
    failure = _last_failure(run)
    first = explain(evidence, failure) if failure is not None else None
    if first is not None:
        yield first
    scanned = Scan(evidence, allow).over(run.events).findings(failure if first is None else None)
    if first is None and failure is not None and not any(one.kind in _OF_VALUES for one in scanned):
        first = unknown(evidence, failure)
        if first is not None:
            yield first
    for found in scanned:
        if first is None or not _same(first, found):
            yield found
    cut = unreached(evidence) if failure is None or failure.category != "no_gradient" else None
    if cut is not None:
        yield cut
    yield from compare_ranks(evidence)


def _last_failure(run: Run) -> Failure | None:
    """Return the exception that ended the run; one that the program caught and outlived is not a fault."""
    if run.end is not None and run.end.status == "completed":
        return None
    return run.failures[-1] if run.failures else None


def _same(one: Finding, other: Finding) -> bool:
    return one.kind == other.kind and one.site == other.site
