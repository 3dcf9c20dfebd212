"""Told: the finding for a call that was refused, as most rules of refusals tell it."""

from __future__ import annotations

from graphdebug.diagnosis.account import Account, call
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.model.event import Failure
from graphdebug.model.finding import Finding

__all__ = ["told"]


def told(
    evidence: Evidence, failure: Failure, kind: str, what: str, account: Account, why: str = "the failing call"
) -> Finding:
    """Return the finding that says what `account` says of `failure`.

    Args:
        evidence: the run.
        failure: the call that was refused; its line comes after those of `account`, where it is not among them.
        kind: the kind of finding, where `account` has none of its own.
        what: the fault.
        account: the lines to blame, the evidence, the ways out.
        why: what the failing call did.

    """
    return evidence.finding(
        account.kind or kind, what=what, candidates=[*account.candidates, *call(failure, why)],
        confidence=account.confidence, failed=failure.site, when=when(failure),
        body=[f"  {line}" for line in account.body], tries=account.tries, operands=failure.operands,
        evidence=(failure.seq,),
    )  # fmt: skip
