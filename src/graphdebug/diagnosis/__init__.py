"""Diagnosis: from a run alone, framework-blind, the findings that name the lines faults were born on."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.model.finding import Finding
from graphdebug.model.run import Run

__all__ = ["diagnose"]


def diagnose(run: Run) -> Sequence[Finding]:  # noqa: ARG001 - no rule yet
    """Return what is wrong in `run`, the most certain finding first; empty where nothing is."""
    return ()
