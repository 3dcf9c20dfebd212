"""Overflows: whole numbers that left the range of their type, where nothing shows that this was meant.

Hashes, random generators, checksums and differences that are put together again count on wrapping around: such
numbers meet bit operations and remainders, grow by one line over and over, or wrap back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.numbers.exact import LIMITS, Beyond, Span, beyond, number_words, plain_span, span_of
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Node, Operand, TensorFact
from graphdebug.model.finding import Finding

__all__ = ["OverflowWatch"]

_BITS = frozenset({
    "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "right_shift", "rshift", "left_shift",
    "bitwise_right_shift",
})  # fmt: skip
_REMAINDERS = frozenset({"mod", "remainder", "fmod", "floormod"})
_CHOICES = frozenset({"where", "masked_fill", "masked_select"})
_SAME_OR_NOT = frozenset({"eq", "ne", "equal", "not_equal"})
_ORDERS = frozenset({"lt", "gt", "le", "ge", "less", "greater", "less_equal", "greater_equal"})
_SUMS = frozenset({"add", "sub", "sum", "cumsum"})
_COUNTING = re.compile(r"hash|seed|rng\b|lcg|crc|checksum|digest|murmur|fnv|wrap|overflow", re.IGNORECASE)
"""Names of what is meant to wrap around."""
_TARGET = re.compile(r"\s*([\w.\[\], ]+?)\s*(?:[-+*^|&]|<<|>>)?=[^=]")
"""What a line gives a value to."""
_FARTHEST = 6
"""Ops behind a result on which it is followed."""
_BEFORE = 4
"""Ops before it in which bit operations are looked for."""
_SUSPECTS = 100
_FOLLOWED = 10_000
_MANY = 16
"""Numbers from which on tensors are one if they agree in extremes, mean and mean square."""
_HASH_FACTOR = 31
"""Odd factors from here on make a hash or generator, where a line multiplies and adds, over and over."""
_WIDER = {
    "int8": "int16 or int32", "uint8": "int16 or int32", "int16": "int32", "uint16": "int32", "int32": "int64",
    "uint32": "int64",
}  # fmt: skip


@dataclass(slots=True)
class _Suspect:
    """A result that left its range."""

    node: Node
    result: Beyond
    factor: Span | None
    meant: bool = False
    """Whether something shows that this was meant, or that the numbers are not used."""
    cast: Node | None = None
    """What took it as a real number."""
    of: list[_Suspect] = field(default_factory=list)
    """Results that had left their range before, of which it was made."""


class OverflowWatch:
    """Looks for whole numbers beyond the range of their type."""

    families = (
        "elementwise", "cast", "reduce", "matmul", "linear", "reshape", "permute", "index", "where", "copy",
        "cat", "split", "pad", "assign", "other",
    )  # fmt: skip

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._suspects: list[_Suspect] = []
        self._lines: dict[tuple[str, int, str], _Suspect] = {}
        self._followed: dict[int, tuple[_Suspect, int, bool]] = {}
        """What is made of suspects: of which, how many ops behind it, whether anything was added on the way."""

    def see(self, node: Node) -> None:
        """Look at one node."""
        if not node.outputs or node.phase == "build":
            return
        before = self._before(node) if self._followed else []
        whole = node.outputs[0].dtype in LIMITS
        result = self._beyond(node) if whole else None
        for suspect, _, added in before:
            self._follow(node, suspect, result, added=added)
        if result is not None:
            self._suspect(node, result, [one for one, _, _ in before])
        elif before and len(self._followed) < _FOLLOWED:
            suspect, steps, added = before[0]
            if steps < _FARTHEST:
                self._followed[node.seq] = suspect, steps + 1, added or node.function in ("add", "sub")

    def findings(self) -> Sequence[Finding]:
        """What was found: of each way of the numbers the first result that left its range."""
        first = [one for one in self._suspects if not one.of and not one.meant]
        return [self._report(first[0])] if first else []

    def _before(self, node: Node) -> list[tuple[_Suspect, int, bool]]:
        return [self._followed[one.producer] for one in node.inputs if one.producer in self._followed]

    def _beyond(self, node: Node) -> Beyond | None:
        spans = [self._span(one) for one in node.inputs]
        scalar = plain_span(node.attributes.get("scalar"))
        if scalar is not None:
            spans.insert(1, scalar)
        return beyond(node, spans, same=len(node.inputs) == 2 and _is_one(*node.inputs, *spans))

    def _span(self, operand: Operand) -> Span | None:
        """Return the numbers of an operand, as it was measured there or where it was made."""
        span = span_of(operand.fact)
        for _ in range(_BEFORE):
            made = self._evidence.provenance.node(operand.producer) if span is None else None
            if made is None or operand.output >= len(made.outputs):
                break
            span = span_of(_shaped(made.outputs[operand.output], operand.fact))
            if made.family not in ("reshape", "permute", "copy") or not made.inputs:
                break
            before = made.inputs[0].fact
            if before.dtype != operand.fact.dtype or _size(before) != _size(operand.fact):
                break
            operand = made.inputs[0]
        return span

    def _suspect(self, node: Node, result: Beyond, of: list[_Suspect]) -> None:
        key = _line(node)
        known = self._lines.get(key)
        if known is None and len(self._suspects) < _SUSPECTS:
            known = self._lines[key] = _Suspect(node, result, self._factor(node), of=of)
            known.meant = any(one.meant for one in of) or self._is_meant(node, result)
            self._suspects.append(known)
        if known is not None:
            self._followed[node.seq] = known, 0, False

    def _factor(self, node: Node) -> Span | None:
        """Return the number that a node multiplies by."""
        scalar = plain_span(node.attributes.get("scalar"))
        spans = [scalar, *(self._span(one) for one in node.inputs)]
        return next((one for one in spans if one is not None and one.single), None)

    def _is_meant(self, node: Node, result: Beyond) -> bool:
        unsigned = node.outputs[0].dtype in ("uint32", "uint64")
        if unsigned and (result.upward or node.function == "neg") and node.function != "cast":
            return True
        site = node.site
        target = _TARGET.match(self._evidence.source.line(site)) if site is not None else None
        names = "" if site is None else f"{site.function} {target[1] if target is not None else ''}"
        return bool(_COUNTING.search(names)) or self._after_bits(node, _BEFORE)

    def _after_bits(self, node: Node, depth: int) -> bool:
        """Whether numbers come out of operations on bits."""
        for one in node.inputs if depth else ():
            made = self._evidence.provenance.node(one.producer)
            known = made is not None and made.seq < node.seq and made.outputs
            if not known or made is None or made.outputs[0].dtype not in LIMITS:
                continue
            if made.function in _BITS or self._after_bits(made, depth - 1):
                return True
        return False

    def _follow(self, node: Node, suspect: _Suspect, result: Beyond | None, *, added: bool) -> None:
        """See what becomes of numbers that left their range."""
        function = node.function
        if function in _BITS or function in _REMAINDERS:
            suspect.meant = True
        elif function in _CHOICES:
            suspect.meant |= self._chooses(node, suspect)
        elif function in _SAME_OR_NOT and suspect.node.function == "sub":
            suspect.meant = True
        elif function in _ORDERS:  # asks whether it did
            suspect.meant |= bool(_sources(node) & _sources(suspect.node))
        elif result is not None and function in _SUMS and suspect.node.function in _SUMS:
            suspect.meant |= result.upward != suspect.result.upward  # wraps back
        elif result is not None and function == "mul" and added and _line(node) == _line(suspect.node):
            factor = self._factor(node)
            hashes = factor is not None and factor == suspect.factor and factor.low >= _HASH_FACTOR
            suspect.meant |= hashes and factor is not None and factor.low % 2 == 1
        elif node.family == "cast" and "float" in node.outputs[0].dtype and suspect.cast is None:
            suspect.cast = node

    def _chooses(self, node: Node, suspect: _Suspect) -> bool:
        """Whether numbers are taken or left by how the operands of a suspect compare."""
        for one in node.inputs:
            made = self._evidence.provenance.node(one.producer)
            if made is not None and made.function in _ORDERS:
                sides = [self._evidence.provenance.node(side.producer) for side in made.inputs]
                compared = _sources(made).union(*(_sources(side) for side in sides if side is not None))
                if compared & _sources(suspect.node):
                    return True
        return False

    def _report(self, suspect: _Suspect) -> Finding:
        node, fact = suspect.node, suspect.node.outputs[0]
        low, high = LIMITS[fact.dtype]
        limits = (
            f"{number_words(low)} to {number_words(high)}" if high < 2**53 else "numbers up to about 9.2e18"
        )
        body = [f"  {_operand_words(node)}"] if _operand_words(node) else []
        body += [f"  {suspect.result.words}; {fact.dtype} holds {limits}"]
        found = span_of(fact)
        if found is not None and not suspect.result.words.startswith(("the mean", "no ")):
            body.append(f"  {'it became' if found.single else 'the results are'} {_found_words(found)}")
        if suspect.cast is not None:
            body.append(f"  then it became {suspect.cast.outputs[0].dtype}")
        where = "beyond its range" if suspect.result.upward or low else "below zero"
        what = f"{node.function} in {fact.dtype} wraps around {where}"
        if node.function == "cast":
            what = f"numbers beyond the range of {fact.dtype} were cast to it"
        after = (
            made_by(suspect.cast, f"the {suspect.cast.function} after it") if suspect.cast is not None else []
        )
        evidence = (node.seq, suspect.cast.seq) if suspect.cast is not None else (node.seq,)
        return self._evidence.finding(
            "integer_wrap", what=what, confidence=0.75, when=f"{node.phase}, step {node.step}; nothing failed",
            candidates=[*made_by(node), *after], body=body, tries=[_advice(node)], operands=node.inputs,
            evidence=evidence,
        )  # fmt: skip


def _operand_words(node: Node) -> str:
    shapes = [f"{shape_words(one.fact.shape)} {one.fact.dtype}" for one in node.inputs if one.fact.shape]
    return f"of {' and '.join(dict.fromkeys(shapes))}" if shapes else ""


def _found_words(found: Span) -> str:
    if found.single:
        return number_words(found.low)
    return f"between {number_words(found.low)} and {number_words(found.high)}"


def _advice(node: Node) -> str:
    dtype, before = node.outputs[0].dtype, "difference" if node.function in ("sub", "neg") else node.function
    if node.function == "cast":
        low, high = LIMITS[dtype]
        scale = ", or scale it by 255 once only" if dtype == "uint8" else ""
        return (
            f"clamp to {number_words(low)} ... {number_words(high)} before the cast, or use a wider type{scale}"
        )
    wider = (
        f"{_WIDER[dtype]} or float"
        if dtype in _WIDER
        else "float64 (about 16 digits), or keep the numbers smaller"
    )
    return f"cast to {wider} before the {before}"


def _source(operand: Operand) -> tuple[object, ...] | None:
    """Return what tells one tensor from another, None where that is not known."""
    if operand.producer is not None:
        return operand.producer, operand.output
    if operand.name:
        return "", operand.name
    return (
        (operand.fact.shape, operand.fact.dtype)
        if operand.origin == "argument" and operand.fact.shape
        else None
    )


def _sources(node: Node) -> set[tuple[object, ...]]:
    return {source for one in node.inputs if (source := _source(one)) is not None}


def _is_one(one: Operand, other: Operand, span: Span | None, its: Span | None) -> bool:
    """Whether both operands are one tensor: by what made it, by its name, or by its numbers."""
    if one.producer is not None or one.name:
        return _source(one) == _source(other)
    return span is not None and span == its and span.size > _MANY and one.origin == other.origin == "argument"


def _line(node: Node) -> tuple[str, int, str]:
    site = node.site
    return (site.file, site.line, node.function) if site is not None else ("", node.seq, node.function)


def _size(fact: TensorFact) -> int:
    return prod(size or 0 for size in fact.shape or ())


def _shaped(fact: TensorFact, like: TensorFact) -> TensorFact:
    return fact if fact.shape == like.shape else TensorFact(like.shape, fact.dtype, stats=fact.stats)
