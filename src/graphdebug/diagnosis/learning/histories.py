"""Histories: a running sum of losses that keeps the graph of every step it has summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["HistoryWatch"]

_ROOTS = 64
"""Last tensors that backward began at which are remembered."""
_LEAST = 20
"""Steps that a sum has to keep: the graphs of fewer do no harm."""
_UNRECORDED = ("no_grad", "inference_mode")
"""Words of the blocks and decorators in which a sum keeps nothing."""


@dataclass(slots=True)
class _Sum:
    """A sum that one line goes on adding to."""

    last: int
    """The node that wrote it last."""
    steps: set[int]
    """Steps whose loss it took, after backward had begun there."""
    node: Node


class HistoryWatch:
    """Follows sums of single numbers, one of which is what backward began at in each step.

    Backward frees what it needed of a step, not the graph itself: that lives as long as the sum does. Numbers
    taken out of the graph (``item()``, ``detach()``, ``float()``) are none of these, nor is a sum that backward
    begins at.
    """

    families = ("elementwise", "fill")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._roots: dict[int, Node] = {}
        """By the node that backward began at, the one that gave backward its first gradient."""
        self._sums: dict[Site, _Sum] = {}

    def see(self, node: Node) -> None:
        """Look at one node."""
        if node.phase != "forward" or not node.outputs or node.outputs[0].shape != () or node.site is None:
            return
        if node.function == "ones_like":
            self._began(node)
        elif node.function == "add" and len(node.inputs) in (1, 2):
            self._added(node, node.site)

    def _began(self, node: Node) -> None:
        seq = node.inputs[0].producer if node.inputs else None
        if seq is None:
            return
        self._roots[seq] = node
        while len(self._roots) > _ROOTS:
            del self._roots[next(iter(self._roots))]
        for site in [site for site, one in self._sums.items() if one.last == seq]:
            del self._sums[site]

    def _added(self, node: Node, site: Site) -> None:
        root = next((one.producer for one in node.inputs if one.producer in self._roots), None)
        if root is None:
            return
        before = self._sums.get(site)
        goes_on = before is not None and any(one.producer == before.last for one in node.inputs)
        if before is None or not goes_on:
            if before is None or len(before.steps) < _LEAST:
                self._sums[site] = _Sum(node.seq, {self._roots[root].step}, node)
            return
        before.last = node.seq
        before.steps.add(self._roots[root].step)

    def findings(self) -> Sequence[Finding]:
        """Return the sums that keep the graphs of many steps."""
        kept = [
            one for site, one in self._sums.items()
            if len(one.steps) >= _LEAST and self._evidence.source.within(site, _UNRECORDED) is None
        ]  # fmt: skip
        return [self._finding(one) for one in kept[:3]]

    def _finding(self, one: _Sum) -> Finding:
        node = one.node
        operand = next(it for it in node.inputs if it.producer in self._roots or it.producer is not None)
        loss = self._evidence.provenance.node(operand.producer)
        lines: list[Candidate] = made_by(node, "adds it up with its graph")
        lines += made_by(loss, f"the {loss.function}") if loss is not None else []
        return self._evidence.finding(
            "kept_history", what="this sum keeps the graph of every loss it has added",
            candidates=lines, confidence=0.75, when=f"from step {node.step}; nothing failed",
            body=[f"  it took the losses of {len(one.steps)} steps as they are, after backward had run on them",
                  "  as long as the sum lives, no graph behind it is freed: memory grows from step to step"],
            tries=["add the number: loss.item() (or loss.detach())"], operands=node.inputs,
            evidence=(node.seq,),
        )  # fmt: skip
