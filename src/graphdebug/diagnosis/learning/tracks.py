"""Tracks: the gradients of one parameter over the steps, and what declared parameters and optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import median

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.words import listing
from graphdebug.model.event import Declaration, Gradient, Operand
from graphdebug.model.finding import Candidate

__all__ = ["LEAST_STEPS", "Track", "declared_by", "optimizers", "some"]

LEAST_STEPS = 3
"""Steps a gradient must behave so before anything is said of it."""


@dataclass(slots=True)
class Track:
    """One parameter over the steps."""

    elements: int
    rank: int
    dtype: str
    first: Gradient
    steps: int = 0
    changed: bool = False
    """Whether any op wrote into the parameter."""
    norms: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    """L2 norms of the parameter after its updates."""
    updates: list[float] = field(default_factory=list)
    """L2 norms of what was added to it or taken off, relative to the parameter's, where that was recorded."""
    rate: Operand | None = None
    """The learning rate that the op which updates it was given, where it is one op."""
    rule: str = ""
    """The function of that op: ``sgd``, ``adam``."""

    @property
    def size(self) -> float:
        """Root mean square of the gradient's elements, the median over the steps kept."""
        return median(self.norms) / sqrt(max(self.elements, 1)) if self.norms else 0.0


def optimizers(evidence: Evidence) -> list[Declaration]:
    """Return the optimizers that stepped, in the order of their first step."""
    return [one for one in evidence.provenance.declarations() if "lr" in one.attributes]


def declared_by(evidence: Evidence, name: str) -> list[Candidate]:
    """Return the line that declared a parameter: its layer's, or its own where the user's class made it."""
    provenance = evidence.provenance
    own, layer = provenance.declared(name), provenance.declared(name.rpartition(".")[0])
    found = next((one for one in (own, layer) if one is not None and one.site is not None), None)
    if found is None or found.site is None:
        return []
    return [Candidate(found.site, "declaration", f"declares {name}", name)]


def some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - 4
    return listing([*names[:4], f"{more} more"] if more > 1 else list(names))
