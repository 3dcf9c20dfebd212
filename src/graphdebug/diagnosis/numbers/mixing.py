"""Mixing: a softmax whose weights are summed over another axis than the one on which they add up to 1."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.numbers.softmaxes import softmax_of
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Node, Operand, Site
from graphdebug.model.finding import Finding

__all__ = ["MixingWatch"]

_PASSING = ("copy", "cast", "dropout")
_BETWEEN = ("elementwise", "where", "copy", "cast", "reshape")
"""What stands between a product of queries with keys and its softmax: a scale, a mask."""


class MixingWatch:
    """Looks at products whose first factor is a softmax, as in attention, and at weighted sums."""

    families = ("matmul", "reduce")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._judged: set[tuple[Site | None, str]] = set()
        self._found: list[Finding] = []

    def see(self, node: Node) -> None:
        """Judge one product or sum, once for each line."""
        if node.phase != "forward" or (node.site, node.family) in self._judged or len(self._found) > 2:
            return
        if node.family == "reduce":
            if node.function == "sum" and node.inputs:
                self._pooled(node)
            return
        if len(node.inputs) < 2:
            return
        self._judged.add((node.site, node.family))
        if node.attributes.get("equation") or node.attributes.get("transpose_a"):  # it sums over other axes
            return
        before = self._weights(node.inputs[0])
        softmax = softmax_of(self._evidence.provenance, before) if before is not None else None
        shape = before.outputs[0].shape if before is not None and before.outputs else None
        if before is None or softmax is None or softmax.axis is None or softmax.logarithm or not shape:
            return
        rank, axis = len(shape), softmax.axis % len(shape)
        alone = axis < rank - 2
        rows = axis == rank - 2 and shape[-1] == shape[-2] and self._scores(softmax.operand)
        if rank > 2 and shape[axis] != 1 and (alone or rows):
            self._found.append(self._finding(before, node, axis, shape, alone=alone))

    def _pooled(self, node: Node) -> None:
        """Judge a sum of features, each weighted with one number of a softmax."""
        axes = node.attributes.get("axis")
        product = self._evidence.provenance.node(node.inputs[0].producer)
        if product is None or product.function != "mul" or len(product.inputs) != 2:
            return
        self._judged.add((node.site, node.family))
        if not isinstance(axes, list | tuple) or len(axes) != 1 or not isinstance(axes[0], int):
            return
        for one, other in (product.inputs, product.inputs[::-1]):
            weights, features = one.fact.shape or (), other.fact.shape or ()
            if len(weights) != len(features) or len(weights) < 3 or weights[-1] != 1 or features[-1] == 1:
                continue
            over = axes[0] % len(weights)
            before, axis = self._over(one)
            if before is not None and axis is not None and axis != over and weights[over] != 1:
                self._found.append(self._of_sum(before, node, axis, over, weights))
                return

    def _over(self, weights: Operand) -> tuple[Node | None, int | None]:
        """Return the softmax that made one weight for each row of features, and its axis there."""
        node = self._evidence.provenance.node(weights.producer)
        for _ in range(8):
            if node is None or not node.inputs or not node.outputs:
                return None, None
            given, made = node.inputs[0].fact.shape or (), node.outputs[0].shape or ()
            softmax = softmax_of(self._evidence.provenance, node)
            if softmax is not None:
                known = softmax.axis is not None and not softmax.logarithm
                return (node, softmax.axis % len(made)) if known and softmax.axis is not None else (None, None)
            if node.family not in _PASSING and not (node.family == "reshape" and (*given, 1) == made):
                return None, None
            node = self._evidence.provenance.node(node.inputs[0].producer)
        return None, None

    def _of_sum(self, softmax: Node, total: Node, axis: int, over: int, shape: Sequence[int | None]) -> Finding:
        rank = len(softmax.outputs[0].shape or ())
        one = f"one number along axis {axis}: each weight is 1" if shape[axis] == 1 else ""
        return self._evidence.finding(
            "wrong_axis", what=f"softmax over axis {axis} of weights that are summed over axis {over}",
            candidates=[*made_by(softmax, "the softmax"), *made_by(total, "the sum")], confidence=0.85,
            when=f"{softmax.phase}, step {softmax.step}; nothing failed",
            body=[f"  {shape_words(shape)}: " + (one or f"the weights add up to 1 over axis {axis}"),
                  f"  the sum, {place(total.site)}, goes over axis {over}, of size {shape[over]}"],
            tries=[f"take it over the axis that is summed: dim={over} (or {over - rank})"],
            operands=softmax.inputs[:1], evidence=(softmax.seq, total.seq),
        )  # fmt: skip

    def findings(self) -> Sequence[Finding]:
        """What was found."""
        return self._found

    def _weights(self, operand: Operand) -> Node | None:
        """Return the node that made the first factor, before copies and merges of its first axes."""
        node = self._evidence.provenance.node(operand.producer)
        for _ in range(8):
            if node is None or not node.inputs or not node.outputs:
                return node
            given, made = node.inputs[0].fact.shape or (), node.outputs[0].shape or ()
            kept = node.family == "reshape" and given[-2:] == made[-2:]
            if node.family not in _PASSING and not kept:
                return node
            node = self._evidence.provenance.node(node.inputs[0].producer)
        return node

    def _scores(self, operand: Operand) -> bool:
        """Whether a softmax was taken of a product of two things that were computed: queries and keys."""
        provenance = self._evidence.provenance
        node = provenance.node(operand.producer)
        for _ in range(6):
            if node is None or node.family not in _BETWEEN or not node.inputs:
                break
            node = provenance.node(node.inputs[0].producer)
        if node is None or node.family != "matmul" or len(node.inputs) < 2:
            return False
        return all(one.producer is not None and provenance.stored(one) is None for one in node.inputs[:2])

    def _finding(
        self, softmax: Node, product: Node, axis: int, shape: Sequence[int | None], *, alone: bool
    ) -> Finding:
        over = "an axis that it keeps apart" if alone else "the axis of its rows"
        return self._evidence.finding(
            "wrong_axis", what=f"softmax over axis {axis}, where the product after it sums over the last",
            candidates=[*made_by(softmax, "the softmax"), *made_by(product, "the product")],
            confidence=0.85 if alone else 0.65, when=f"{softmax.phase}, step {softmax.step}; nothing failed",
            body=[f"  {shape_words(shape)}: the weights add up to 1 over axis {axis}, {over}",
                  f"  the product, {place(product.site)}, sums over the last, of size {shape[-1]}",
                  "  so a mask on that axis has no effect, and what it gives grows or shrinks with its size"],
            tries=[f"take it over the last axis: dim=-1 ({shape[-1]})"], operands=softmax.inputs[:1],
            evidence=(softmax.seq, product.seq),
        )  # fmt: skip
