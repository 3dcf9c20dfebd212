"""Failing: which rule explains an exception, by its category."""

from __future__ import annotations

from collections.abc import Callable

from graphdebug.diagnosis import shape
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Failure
from graphdebug.model.finding import Finding

__all__ = ["explain"]

Rule = Callable[[Evidence, Failure], Finding | None]
_RULES: dict[str, Rule] = {"shape": shape.explain}


def explain(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for `failure`, or None where it is no matter of a framework's."""
    rule = _RULES.get(failure.category)
    return rule(evidence, failure) if rule is not None else None
