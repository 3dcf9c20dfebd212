"""Unintended broadcasting: (N,) or (1, N) met (N, 1), made N x N numbers, and a mean hid it."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.sampling import sampled
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Node, Operand, Shape, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["BroadcastWatch"]

_SAME = ("reshape", "cast", "copy")
_CARRYING = ("elementwise", "cast", "where", "copy")


class BroadcastWatch:
    """Looks for a prediction and a target, one (N,) or (1, N) and one (N, 1), combined and then reduced.

    A table of distances is no fault: there both sides come from one source, or the user added the
    dimension to the very operand that has it, of data alone.
    """

    families = ("elementwise", "cast", "where", "copy", "reduce", "loss")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._waiting: dict[int, tuple[Node, tuple[Operand, Operand]]] = {}
        self._named: set[Site] = set()
        self._found: list[Finding] = []

    def see(self, node: Node) -> None:
        """Look at one node."""
        if node.phase == "backward" and self._waiting:
            # A static graph computes the gradient of a mean without the mean, where only that is fetched.
            held = next(
                (self._waiting.pop(o.producer) for o in node.inputs if o.producer in self._waiting), None
            )
            if held is not None:
                self._report(*held)
        if node.phase != "forward" or not node.inputs or not node.outputs:
            return
        if node.family == "reduce":
            self._reduced(node)
            return
        if node.family == "elementwise" and len(node.inputs) == 2:
            self._across(node)
        pair = self._pair(node) if node.family in ("elementwise", "loss") and len(node.inputs) >= 2 else None
        if pair is not None and self._one_predicts(pair):
            if node.family == "loss" and node.outputs[0].shape == ():
                self._report(node, pair)
            else:
                self._waiting[node.seq] = node, pair
        elif self._waiting and node.family in _CARRYING:
            held = next((self._waiting[o.producer] for o in node.inputs if o.producer in self._waiting), None)
            if held is not None:
                self._waiting[node.seq] = held

    def _across(self, node: Node) -> None:
        """Look whether one number a sample met another axis than that of the samples, of the same size."""
        for one, other in (node.inputs, node.inputs[::-1]):
            size, shape = one.fact.shape or (), other.fact.shape or ()
            if len(size) != 1 or len(shape) < 2 or size[0] in (None, 1) or not size[0] == shape[-1] == shape[0]:
                continue
            if node.site is None or node.site in self._named:
                continue
            own = sampled(self._evidence, one, 0)
            rows = sampled(self._evidence, other, 0) if own is not None else None
            if own is None or rows is None or not own.alike(rows):
                continue
            if sampled(self._evidence, other, len(shape) - 1) is None:
                self._named.add(node.site)
                self._found.append(self._crossed(node, one, other))

    def _crossed(self, node: Node, vector: Operand, other: Operand) -> Finding:
        a, b = shape_words(vector.fact.shape), shape_words(other.fact.shape)
        rank = len(other.fact.shape or ())
        return self._evidence.finding(
            "unintended_broadcast", what=f"{node.function} of {a} and {b}: numbers of samples met another axis",
            candidates=made_by(node, f"the {node.function}"), confidence=0.8,
            when=f"{node.phase}, step {node.step}; nothing failed",
            body=[f"  {a} has one number a sample, of the same samples as axis 0 of {b}",
                  f"  it was aligned with axis {rank - 1}, which only has the same size"],
            tries=["give it axes of size 1 behind the samples: [:, None]"], operands=(vector, other),
            evidence=(node.seq,),
        )  # fmt: skip

    def end_step(self) -> None:
        """Forget what was not reduced."""
        self._waiting.clear()

    def findings(self) -> Sequence[Finding]:
        """What was found."""
        return self._found

    def _reduced(self, node: Node) -> None:
        held = self._waiting.get(node.inputs[0].producer or -1)
        if held is not None and (node.outputs[0].shape == () or node.attributes.get("axis") is None):
            self._report(*held)

    def _pair(self, node: Node) -> tuple[Operand, Operand] | None:
        """Return the operands, the (N, 1) one first, if that is what they are."""
        one, other = (self._before_expansion(node, operand) for operand in node.inputs[:2])
        if _column(one.fact.shape, other.fact.shape):
            return one, other
        if _column(other.fact.shape, one.fact.shape):
            return other, one
        return None

    def _before_expansion(self, node: Node, operand: Operand) -> Operand:
        """Return what an operand was before the op's own expansion of it."""
        if node.family != "loss":
            return operand
        made = self._evidence.provenance.node(operand.producer)
        own = made is not None and made.function == "expand" and made.site == node.site and made.inputs
        return made.inputs[0] if own and made is not None else operand

    def _one_predicts(self, pair: tuple[Operand, Operand]) -> bool:
        """Whether exactly one side comes from weights: a prediction against a target."""
        if self._is_scale(*pair) or self._is_scale(*pair[::-1]):
            return False
        return sum(self._has_weights(one) for one in pair) == 1

    def _is_scale(self, one: Operand, other: Operand) -> bool:
        """Whether `one` is a parameter and `other` is computed, as a norm's scale and a row's deviation are."""
        provenance = self._evidence.provenance
        made = provenance.node(one.producer)
        if made is not None and made.family in _SAME and made.inputs:
            one = made.inputs[0]
        if provenance.stored(one) is None:
            return False
        return any(node.family not in _SAME for node, _ in provenance.way(other)[1])

    def _has_weights(self, operand: Operand) -> bool:
        provenance = self._evidence.provenance
        root, links = provenance.way(operand)
        first = provenance.node(root.producer)  # a product of a constant and a weight has no data to follow
        return provenance.stored(root) is not None or any(
            provenance.stored(one) is not None
            for node in (*([first] if first is not None else []), *(node for node, _ in links))
            if node.family in ("linear", "matmul", "conv", "elementwise")
            for one in node.inputs
        )

    def _report(self, node: Node, pair: tuple[Operand, Operand]) -> None:
        if node.site is None or node.site in self._named or len(self._found) >= 3:
            return
        self._named.add(node.site)
        column, row = pair
        origins = [
            Candidate(site, "origin", f"makes {shape_words(one.fact.shape)}", one.name)
            for one in (row, column)
            if (site := self._evidence.provenance.site(one)) is not None
        ]
        a, b = shape_words(column.fact.shape), shape_words(row.fact.shape)
        size = (column.fact.shape or (None,))[0]
        self._found.append(
            self._evidence.finding(
                "unintended_broadcast",
                what=f"{node.function} of {a} and {b} broadcast to {size}x{size}",
                candidates=[*made_by(node, f"the {node.function}"), *origins],
                confidence=0.85,
                when=f"{node.phase}, step {node.step}; nothing failed",
                body=[
                    f"  {a} <- {self._evidence.provenance.origin_words(column)}",
                    f"  {b} <- {self._evidence.provenance.origin_words(row)}",
                    "  each prediction met every target, and the result was then reduced to one number",
                ],
                tries=["squeeze the column to (N,), or give the other side a second dimension"],
                operands=pair,
                evidence=(node.seq,),
            )
        )


def _column(one: Shape | None, other: Shape | None) -> bool:
    """Whether `one` is (N, 1) and `other` (N,) or (1, N), N above 1."""
    if one is None or other is None or len(one) != 2 or one[1] != 1 or (one[0] or 0) < 2:
        return False
    return other in ((one[0],), (1, one[0]))
