"""Diagnosis: from a run alone, framework-blind, the findings that name the lines faults were born on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdebug.model.finding import Finding
from graphdebug.model.run import Run

__all__ = ["diagnose", "explain_failure"]


def diagnose(run: Run) -> Sequence[Finding]:
    """Return what is wrong in `run`, the most certain finding first; empty where nothing is."""
    return tuple(_findings(run))


def explain_failure(run: Run) -> Finding | None:
    """Return the finding for the exception that ended `run`, without looking at all its steps."""
    return next(_findings(run), None)


def _findings(run: Run) -> Iterator[Finding]:
    from graphdebug.diagnosis import shape
    from graphdebug.diagnosis.evidence import Evidence

    evidence = Evidence(run)
    for failure in run.failures:
        found = shape.explain(evidence, failure)
        if found is not None:
            yield found
