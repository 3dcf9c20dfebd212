"""Nothing: a program that took None for a number, because what it had run gives no value."""

from __future__ import annotations

from graphdebug.diagnosis.account import call
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Failure, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain"]


def explain(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for the user's own line that failed on a None which a recorded run gave it."""
    if "NoneType" not in failure.message or failure.site is None:
        return None
    found = _given(evidence, failure, failure.site)
    if found is None:
        return None
    name, site = found
    return evidence.finding(
        "no_value", what=f"{name} is None: what was run for it gives no value",
        candidates=[Candidate(site, "origin", f"gives {name}", name), *call(failure, "uses it")],
        confidence=0.7, failed=failure.site, when=when(failure), evidence=(failure.seq,),
        body=[f"  {name} was given at {place(site)} by a run; what an op (as a train step) gives is None"],
        tries=["fetch what has a value, too: _, value = session.run([train, loss])"],
    )  # fmt: skip


def _given(evidence: Evidence, failure: Failure, site: Site) -> tuple[str, Site] | None:
    """Return the one name on the line that a recorded run was assigned to, and the line of that run."""
    ran = {
        (one.file, one.line)
        for node in evidence.before(failure.seq, failure.step)
        if (one := node.run_site) is not None
    }
    names = evidence.source.names(site)
    lines = [(name, made) for name in names if (made := evidence.source.assignment(name, site)) is not None]
    given = [(name, made) for name, made in lines if (made.file, made.line) in ran]
    return given[0] if len(given) == 1 else None
