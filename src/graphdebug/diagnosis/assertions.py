"""Assertions: a check of the program's own that did not hold, in its own words, with what it looked at."""

from __future__ import annotations

import re

from graphdebug.diagnosis.account import call, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shape import operand_lines, when
from graphdebug.diagnosis.words import shorten
from graphdebug.model.event import Failure
from graphdebug.model.finding import Finding

__all__ = ["explain"]

_PART = re.compile(r"\[([^\[\]]*)\]")


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a check that did not hold: its own words, and where what it looked at was made."""
    said = _said(failure.message)
    own = said[0].rstrip(".") if said and not said[0].startswith("Condition ") else ""
    values = next((part for part in said if part.startswith("Condition ")), "")
    checked = [one for one in failure.operands if one.origin not in ("constant", "unknown")]
    origins = operand_origin(evidence, checked[-1], failure, "makes what was checked") if checked else []
    words = [part for part in (said[1:] if own else said) if part != values]
    body = [f"  {values}"] if values else []
    body += [f"  {shorten(' '.join(words))}"] if words else []
    named = own if own and "=" not in own else ""
    return evidence.finding(
        "assertion", what=f"assertion failed: {named}" if named else "an assertion failed",
        candidates=[*call(failure, "the assertion"), *origins], confidence=0.8, when=when(failure),
        body=[*operand_lines(evidence, checked), *body], operands=failure.operands, evidence=(failure.seq,),
        tries=["look at what was checked where it is made"] if origins else (),
    )  # fmt: skip


def _said(message: str) -> list[str]:
    """Return the parts of a message: TensorFlow's op puts them in brackets, its Python on lines."""
    _head, found, rest = message.partition("assertion failed:")
    parts = _PART.findall(rest.partition("\n")[0]) if found else message.splitlines()
    return [part.strip() for part in parts if part.strip()]
