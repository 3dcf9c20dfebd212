"""Divisions of whole numbers that cut the fraction off, after which they were taken as real numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.numbers.exact import LIMITS, Span, span_of
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Node, Operand
from graphdebug.model.finding import Finding

__all__ = ["IntegerWatch"]

_HIGHEST = {"uint8": 255, "int8": 127}
"""The largest number of a type that data are likely to reach."""
_BYTE_SCALE = (255, 256)
_DIVISOR = re.compile(r"//\s*(\d+)|\b(?:div|divide|floordiv|floor_divide|truncatediv)\([^()]+,\s*(\d+)")
_KEPT = 1000


class IntegerWatch:
    """Looks for integer results that are then taken as real numbers, though they are not what was meant."""

    families = ("elementwise", "cast", "reduce")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._suspects: dict[int, tuple[Node, Callable[[Node, Node], Finding]]] = {}
        self._found: list[Finding] = []

    def see(self, node: Node) -> None:
        """Look at one node."""
        fact = node.outputs[0] if node.outputs else None
        if fact is not None and node.function == "pow":  # a staircase is what whole numbers are taken for there
            taken = {one.producer for one in node.inputs}
            self._found = [one for one in self._found if not taken & set(one.evidence[1:])]
        if fact is None or node.phase != "forward" or self._found:
            return
        if fact.dtype in LIMITS:
            if len(self._suspects) < _KEPT:
                self._suspect(node)
        elif self._suspects and "float" in fact.dtype:
            held = next((self._suspects[o.producer] for o in node.inputs if o.producer in self._suspects), None)
            if held is not None:
                made, report = held
                self._found.append(report(made, node))

    def findings(self) -> Sequence[Finding]:
        """What was found."""
        return self._found

    def _suspect(self, node: Node) -> None:
        if node.family == "cast":
            return
        mean = self._mean_of(node)
        if mean is not None and mean.mean % 1 and (mean.low, mean.high) == (0, 1):
            self._found.append(self._share(node))  # a share is never used as a whole number
        elif mean is not None and mean.mean % 1:
            self._suspects[node.seq] = node, self._mean
        elif node.function in ("floor_divide", "div") and self._truncates(node) is not None:
            self._suspects[node.seq] = node, self._cut_off
        elif node.function in ("floor_divide", "div") and self._is_share(node):
            self._suspects[node.seq] = node, self._share

    def _mean_of(self, node: Node) -> Span | None:
        """Return the numbers that a node takes the mean of, or divides the sum of by how many they are."""
        if node.function == "mean":
            return self._measured(node.inputs[0]) if node.inputs else None
        if node.function not in ("floor_divide", "div") or not node.inputs:
            return None
        total, divisor = self._value(node, 0), self._divisor(node)
        made = self._evidence.provenance.node(node.inputs[0].producer)
        if made is None or made.function != "sum" or not made.inputs or total is None or not divisor:
            return None
        summed = made.inputs[0].fact
        if prod(size or 0 for size in summed.shape or (0,)) != divisor or made.outputs[0].shape:
            return None
        span = self._measured(made.inputs[0])
        low, high = (0, 1) if self._is_share(node) else (span.low, span.high) if span is not None else (0, 2)
        return Span(low, high, total / divisor, 0.0, int(divisor))

    def _measured(self, operand: Operand) -> Span | None:
        made = self._evidence.provenance.node(operand.producer)
        known = made is not None and operand.output < len(made.outputs)
        fact = made.outputs[operand.output] if known and made is not None else operand.fact
        return span_of(operand.fact) or span_of(fact)

    def _mean(self, node: Node, cast: Node) -> Finding:
        mean, given = self._mean_of(node), node.inputs[0].fact.dtype
        exact = "" if mean is None else f": the mean of {mean.size} numbers is {mean.mean:.6g}"
        body = [
            f"  in {given} its fraction is cut off{exact}",
            f"  only then it became {cast.outputs[0].dtype}",
        ]
        what = f"a mean of {given} numbers lost its fraction"
        return self._report("integer_division", node, cast, what, body, node.function.replace("floor_", ""))

    def _truncates(self, node: Node) -> float | None:
        """Return the divisor, if it is as large as the numbers it divides: hardly anything but 0 is left."""
        if not node.inputs or prod(size or 1 for size in node.inputs[0].fact.shape or ()) < 2:
            return None
        divided, divisor = node.inputs[0].fact, self._divisor(node)
        if divisor is None or divisor < 2:
            return None
        stats = divided.stats
        highest = (
            float(stats.max) if stats is not None and stats.max is not None
            else self._range_end(node.inputs[0]) or _HIGHEST.get(divided.dtype)
        )  # fmt: skip
        if highest is None:
            return divisor if divisor in _BYTE_SCALE else None
        return divisor if 0 < highest <= divisor else None

    def _is_share(self, node: Node) -> bool:
        """Whether a node divides how many of some conditions hold by a number: a share, always 0 or 1 here."""
        made = self._evidence.provenance.node(node.inputs[0].producer) if node.inputs else None
        if made is None or made.function not in ("sum", "count_nonzero") or not made.inputs:
            return False
        summed = self._evidence.provenance.node(made.inputs[0].producer)
        source = summed.inputs[0] if summed is not None and summed.family == "cast" and summed.inputs else None
        return made.inputs[0].fact.dtype == "bool" or (source is not None and source.fact.dtype == "bool")

    def _share(self, node: Node, cast: Node | None = None) -> Finding:
        divided, mean = node.inputs[0].fact.dtype, self._mean_of(node)
        body = [f"  how many hold, by how many there are, in {divided}: less than all is 0"]
        if mean is not None:
            body.append(f"  of {mean.size} it should be {mean.mean:.4g}")
        if cast is not None:
            body.append(f"  only then it became {cast.outputs[0].dtype}")
        what = f"a division of {divided} numbers cut the fraction off"
        return self._report("integer_division", node, cast, what, body, "division")

    def _range_end(self, operand: Operand) -> float | None:
        """Return the end of the range of numbers that an operand is, whatever its shape."""
        made = self._evidence.provenance.node(operand.producer)
        while made is not None and made.family == "reshape" and made.inputs:
            made = self._evidence.provenance.node(made.inputs[0].producer)
        stop = made.attributes.get("stop") if made is not None and made.family == "fill" else None
        return float(stop) if isinstance(stop, int | float) and stop > 0 else None

    def _divisor(self, node: Node) -> float | None:
        """Return the number that a node divides by: recorded, or read off the line."""
        scalar = self._value(node, 1)
        if scalar is None and node.site is not None:
            written = _DIVISOR.search(self._evidence.source.line(node.site))
            scalar = float(written[1] or written[2]) if written is not None else None
        return scalar

    def _cut_off(self, node: Node, cast: Node) -> Finding:
        divided, left = node.inputs[0].fact, node.outputs[0].stats
        size = prod(one or 1 for one in divided.shape or ())
        zeros = f"{left.zero} of {size} results are 0" if left is not None else "all below it became 0"
        body = [
            f"  {shape_words(divided.shape)} {divided.dtype} divided by {self._divisor(node):g}: {zeros}",
            f"  only then it became {cast.outputs[0].dtype}",
        ]
        what = f"a division of {divided.dtype} numbers cut the fraction off"
        return self._report("integer_division", node, cast, what, body, "division")

    def _report(
        self, kind: str, node: Node, cast: Node | None, what: str, body: Sequence[str], before: str
    ) -> Finding:
        after = made_by(cast, f"the {cast.function} after it") if cast is not None else []
        return self._evidence.finding(
            kind, what=what, confidence=0.75, when=f"{node.phase}, step {node.step}; nothing failed",
            candidates=[*made_by(node), *after], body=body, tries=[f"cast to float before the {before}"],
            operands=node.inputs, evidence=(node.seq,) if cast is None else (node.seq, cast.seq),
        )  # fmt: skip

    def _value(self, node: Node, index: int) -> float | None:
        """Return the mean of an operand, or the number that stands in its place."""
        operand: Operand | None = node.inputs[index] if len(node.inputs) > index else None
        if operand is None:
            scalar = node.attributes.get("scalar")
            return float(scalar) if isinstance(scalar, int | float) else None
        made = self._evidence.provenance.node(operand.producer)
        fact = made.outputs[operand.output] if made is not None and operand.output < len(made.outputs) else None
        stats = operand.fact.stats or (fact.stats if fact is not None else None)
        return float(stats.mean) if stats is not None and stats.mean is not None else None
