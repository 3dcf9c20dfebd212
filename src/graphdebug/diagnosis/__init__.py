"""Diagnosis: from a run alone, framework-blind, the findings that name the lines faults were born on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.failing import explain, unknown
from graphdebug.diagnosis.learning.rivals import rivals
from graphdebug.diagnosis.learning.unrun import unrun
from graphdebug.diagnosis.refused.unreached import unreached
from graphdebug.diagnosis.runs.ranks import compare_ranks
from graphdebug.diagnosis.scan import Scan
from graphdebug.model.event import Event, Failure
from graphdebug.model.finding import Finding
from graphdebug.model.run import Run

__all__ = ["diagnose", "explain_failure"]


_TAIL = 50_000
"""Last events of a run that are looked at while the user waits for the report: half a second."""
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
    """Return what explains the exception that ended `run`, the first of its findings.

    Of a long run that failed of an exception of the program's own, only the last `_TAIL` events are looked at:
    the user is waiting. `diagnose` looks at all.
    """
    failure, evidence = _last_failure(run), Evidence(run)
    found = explain(evidence, failure) if failure is not None else None
    if found is not None:
        return found
    tail = run.store.tail(_TAIL)
    if failure is None or len(tail) < _TAIL:
        return next(_findings(run), None)
    return _of_values(evidence, failure, tail) or unknown(evidence, failure)


def _findings(run: Run, allow: Sequence[str] = ()) -> Iterator[Finding]:
    evidence = Evidence(run)
    failure = _last_failure(run)
    first = explain(evidence, failure) if failure is not None else None
    if first is not None:
        yield first
    if first is None and failure is not None:
        tail = run.store.tail(_TAIL)
        first = _of_values(evidence, failure, tail, allow) if len(tail) == _TAIL else None
        if first is not None:
            yield first
    scanned = Scan(evidence, allow).over(run.events).findings(failure if first is None else None)
    missing = unreached(evidence) if failure is not None and "None" in failure.message else None
    if first is None and failure is not None and not any(one.kind in _OF_VALUES for one in scanned):
        first = missing or unknown(evidence, failure)
        if first is not None:
            yield first
    for found in scanned:
        if first is None or not _same(first, found):
            yield found
    cut = (
        unreached(evidence)
        if missing is None and (failure is None or failure.category != "no_gradient")
        else None
    )
    if cut is not None:
        yield cut
    if failure is None:
        yield from unrun(evidence)
        yield from rivals(evidence)
    yield from compare_ranks(evidence)


def _of_values(
    evidence: Evidence, failure: Failure, tail: Sequence[Event], allow: Sequence[str] = ()
) -> Finding | None:
    """Return the NaN or Inf that was born in the last events; None where it came in from before them."""
    steps = (at for at, one in enumerate(tail) if getattr(one, "step", None) != getattr(tail[0], "step", None))
    scan = Scan(evidence, allow).over(tail[next(steps, 0) :])
    born = scan.nonfinite.verdict
    if born is None or (born.data is not None and evidence.provenance.stored(born.data) is not None):
        return None
    return scan.value(failure)


def _last_failure(run: Run) -> Failure | None:
    """Return the exception that ended the run; one that the program caught and outlived is not a fault."""
    if run.end is not None and run.end.status == "completed":
        return None
    return run.failures[-1] if run.failures else None


def _same(one: Finding, other: Finding) -> bool:
    return one.kind == other.kind and one.site == other.site
