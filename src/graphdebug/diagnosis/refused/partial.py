"""Partial: None was used for a gradient, because what was differentiated does not depend on a variable."""

from __future__ import annotations

from graphdebug.diagnosis.account import call
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.words import listing, place
from graphdebug.model.event import Failure
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain"]

_NONE = ("(None)", "NoneType")


def explain(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for a refused None, where some of the gradients asked for just before are None."""
    if not any(word in failure.message for word in _NONE):
        return None
    asked = [one for one in evidence.run.notices if one.topic == "some_gradients" and one.seq < failure.seq]
    missing = list(asked[-1].detail.get("missing") or ()) if asked else []
    if not missing:
        return None
    declared = [one for one in evidence.run.declarations if one.name in missing and one.site is not None]
    made = [
        Candidate(one.site, "declaration", f"makes {one.name}", one.name)
        for one in declared
        if one.site is not None
    ]
    where = (
        [Candidate(asked[-1].site, "origin", "asks for the gradients")] if asked[-1].site is not None else []
    )
    named = listing(missing[:3])
    return evidence.finding(
        "no_gradient", what=f"the gradient of {named} is None, and was used as a number",
        candidates=[*call(failure, "uses it"), *where, *made], confidence=0.7, failed=failure.site,
        when=when(failure),
        body=[f"  what was differentiated at {place(asked[-1].site)} does not depend on {named}"],
        tries=[f"let the loss use {named}, or leave out what has no gradient: if gradient is not None"],
        evidence=(failure.seq, asked[-1].seq),
    )  # fmt: skip
