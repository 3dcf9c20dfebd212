"""Probabilities: a loss that takes the logarithm of what a layer gave, with no softmax or sigmoid between."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import compiled_with, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["ProbabilityWatch"]

_PLAIN = (
    "clamp",
    "maximum",
    "minimum",
    "max",
    "min",
    "add",
    "sub",
    "div",
    "sum",
    "cast",
    "log",
    "rsub",
    "bias_add",
)
"""What a loss on probabilities does to its input before the logarithm, and a layer to its product."""


class ProbabilityWatch:
    """Looks at logarithms in the losses that compiled models were told."""

    families = ("elementwise",)

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._judged: set[Site] = set()
        self._found: list[Finding] = []

    def see(self, node: Node) -> None:
        """Look at one node, the logarithms of a line until one tells."""
        if node.function != "log" or node.phase != "forward" or node.site is None or not node.inputs:
            return
        if node.site in self._judged or len(self._judged) > 1000:
            return
        chosen = compiled_with(self._evidence, node.site)
        layer = self._straight_from(node) if chosen else None
        if layer is not None:
            self._judged.add(node.site)
            self._report(node, layer, chosen)

    def findings(self) -> Sequence[Finding]:
        """What was found."""
        return self._found

    def _straight_from(self, node: Node) -> Node | None:
        """Return the layer that gave what is clamped and whose logarithm is taken, if nothing squashed it."""
        provenance = self._evidence.provenance
        clamped = False
        for before, _ in reversed(provenance.way(node.inputs[0])[1][-8:]):
            if before.family in ("linear", "matmul", "conv"):
                return before if clamped and before.module else None
            if before.function not in _PLAIN and before.family not in ("reshape", "copy"):
                return None
            clamped |= before.function in ("clamp", "maximum", "minimum")
        return None

    def _report(self, node: Node, layer: Node, chosen: Sequence[Candidate]) -> None:
        declared = self._evidence.provenance.declared(layer.module)
        own = [Candidate(declared.site, "declaration", f"declares {layer.module}", layer.module)] if (
            declared is not None and declared.site is not None) else []  # fmt: skip
        self._found.append(
            self._evidence.finding(
                "not_probabilities", what=f"the loss takes the logarithm of what {layer.module} gave",
                candidates=[*own, *chosen, *made_by(node, "the log")], confidence=0.7, failed=node.site,
                when=f"{node.phase}, step {node.step}; nothing failed",
                body=["  this loss takes probabilities: it clamps them to (0, 1) and takes the log",
                      f"  between {layer.module} and the loss there is no softmax or sigmoid"],
                tries=["give the last layer a softmax (or sigmoid)", "tell the loss from_logits=True"],
                evidence=(node.seq, layer.seq),
            )
        )  # fmt: skip
