"""Confidence: how often findings that rest on evidence of one strength named the true line first, as measured.

A rule says how strong its evidence is; a finding states the share that was measured for that strength.
benchmarks/calibration.py prints where the shares come from, docs/findings.md says it in words.
"""

from __future__ import annotations

__all__ = ["LEADS", "STRENGTHS", "measured", "measured_lead", "strength_of"]

STRENGTHS = (
    ("a guess", 0.0, 0.3),
    ("the failing line", 0.5, 0.64),
    ("one piece of evidence", 0.7, 0.81),
    ("several that agree", 0.8, 0.83),
    ("conclusive", 0.9, 0.93),
)
"""Evidence in words, its least strength as rules state it, the share of findings that named the true line.

The shares are (right + 1) / (all + 2) over the first results on 50 programs (benchmarks/first_results.json).
Most rules were older than the programs; a few (both integer faults, the softmax that is spelled out) had just
been written. No finding of the first class was among them: its share is judged."""


LEADS = (
    ("lines that are evenly matched", 0.0, 0.36),
    ("one line ahead", 0.45, 0.58),
    ("one line well ahead", 0.65, 0.7),
)
"""The same for lines that are ranked: in words how far the first is ahead, its least share of all chances
(ranking.certainty), the share of findings that named the true line.

The shares are (right + 1) / (all + 2) over what the ranking first said of 73 programs, 18 by people who did
not know it, 55 by its author (benchmarks/ranking_results.json). Rules that missed were mended afterwards."""


def measured(strength: float) -> float:
    """Return the share that was measured for evidence of this strength."""
    return next(share for _, least, share in reversed(STRENGTHS) if strength >= least)


def measured_lead(certainty: float) -> float:
    """Return the share that was measured for a first line with this share of all chances."""
    return next(share for _, least, share in reversed(LEADS) if certainty >= least)


def strength_of(confidence: float) -> str:
    """Return in words what a finding that states `confidence` rests on."""
    return min((*STRENGTHS, *LEADS), key=lambda one: abs(one[2] - confidence))[0]
