"""Finding: what a diagnosis says of a run, naming a line of the user's code."""

from __future__ import annotations

from typing import Literal

import msgspec

from graphdebug.model.event import Operand, Site

__all__ = ["Candidate", "Finding"]


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line where the fault may have been born, with the evidence for it."""

    site: Site
    role: Literal["expression", "declaration", "input", "origin", "caller", "mutation", "step"]
    why: str
    name: str = ""
    """The operand, layer, variable or node this line made, if it has a name."""
    clues: tuple[str, ...] = ()
    """The evidence for and against it, as the ranking weighs it (docs/findings.md); empty where one rule's
    order stands."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault: its kind, the line it was born on, and the text shown everywhere."""

    kind: str
    """``shape_mismatch``, ``silent_fold``, ``nonfinite``, ... or ``unknown``; docs/findings.md lists them."""
    site: Site | None
    """The first candidate's site; None where the evidence names no line."""
    text: str
    """The report, at most 15 lines."""
    candidates: tuple[Candidate, ...] = ()
    operands: tuple[Operand, ...] = ()
    evidence: tuple[int, ...] = ()
    """Sequence numbers of the events this rests on."""
    confidence: float = 0.0
    """0 to 1: how often a finding of this kind and evidence names the true line first (docs/findings.md)."""
    fits: tuple[int | None, ...] = ()
    """The input shape that would have fitted, where it could be solved for."""
