"""Comparison: the first node in which two aligned runs differ in shape, dtype, finiteness or value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from graphdebug.diagnosis.runs.alignment import Pair, align, paired_steps
from graphdebug.model.event import Node, Number, Operand, Shape, Stats, TensorFact
from graphdebug.model.patterns import matches
from graphdebug.model.run import Run

__all__ = ["Comparison", "Difference", "Tolerance", "compare"]

What = Literal["shape", "dtype", "finite", "value"]

_TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float64": (1e-7, 1e-7)}
_FLOAT32 = (1.3e-6, 1e-5)
"""Relative and absolute, the defaults of torch.testing.assert_close; float32's for every other dtype."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two values may be apart: ``|a - b| <= absolute + relative * |b|``; None takes the dtype's."""

    relative: float | None = None
    absolute: float | None = None
    across_dtypes: bool = False
    """Compare values of different dtypes, as far as the coarser one allows, instead of naming the dtypes."""

    def allows(self, a: float, b: float, scale: float, dtype: str) -> bool:
        """Whether `a` and `b`, of tensors with elements up to `scale`, count as equal."""
        if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
            return a == b or (math.isnan(a) and math.isnan(b))
        relative, absolute = _TOLERANCES.get(dtype, _FLOAT32)
        relative = relative if self.relative is None else self.relative
        absolute = absolute if self.absolute is None else self.absolute
        return abs(a - b) <= absolute + relative * scale


@dataclass(frozen=True, slots=True)
class Difference:
    """The first pair of nodes that differ, and what was found in each run."""

    what: What
    a: Node
    b: Node
    output: int
    """Which output of the nodes differs."""
    found_a: str
    found_b: str
    inputs: tuple[str, ...] = ()
    """In words, the inputs of the pair that differ already; empty where the difference was born here."""


@dataclass(slots=True)
class Comparison:
    """What comparing two runs gave."""

    steps: int = 0
    aligned: int = 0
    only_a: list[Node] = field(default_factory=list)
    only_b: list[Node] = field(default_factory=list)
    difference: Difference | None = None

    @property
    def same(self) -> bool:
        """Whether nodes could be aligned and none of them differs."""
        return self.difference is None and self.aligned > 0


def compare(a: Run, b: Run, tolerance: Tolerance = Tolerance(), *, ignore: Sequence[str] = ()) -> Comparison:
    """Return the first difference between the runs `a` and `b`, and how much of them could be aligned.

    Steps that only one run has are not a difference. Across memory layouts (channels first or last) shapes
    count as equal when they have the same sizes.

    Args:
        a: one run.
        b: the other.
        tolerance: how far values may be apart.
        ignore: patterns of nodes that are left out of both.

    """
    result = Comparison()
    for step_a, step_b in paired_steps(a, b):
        result.steps += 1
        nodes_a, nodes_b = (
            [node for node in run.step(step).nodes if not matches(node, ignore)]
            for run, step in ((a, step_a), (b, step_b))
        )
        for one, other in align(nodes_a, nodes_b):
            if one is None or other is None:
                result.only_a += [one] if one is not None else []
                result.only_b += [other] if other is not None else []
                continue
            result.aligned += 1
            if _has_bias(one) != _has_bias(other):  # one framework's layer is two nodes in the other
                one, other = _biased(one, nodes_a), _biased(other, nodes_b)
            result.difference = _differ(one, other, tolerance)
            if result.difference is not None:
                return result
    return result


def _differ(a: Node, b: Node, tolerance: Tolerance) -> Difference | None:
    if a.family == "loss" and a.function != b.function:
        return None  # one framework's loss is a number a sample, the other's their mean
    if a.family == "random" and a.framework != b.framework:
        return None  # no two of them draw the same numbers
    permuted = _may_be_permuted(a, b)
    for index, (one, other) in enumerate(zip(a.outputs, b.outputs, strict=False)):
        found = _facts_differ(one, other, tolerance, permuted=permuted)
        if found is not None:
            what, found_a, found_b = found
            return Difference(what, a, b, index, found_a, found_b, tuple(_inputs_differ((a, b), tolerance)))
    return None


def _inputs_differ(pair: Pair, tolerance: Tolerance) -> Iterator[str]:
    a, b = pair
    if a is None or b is None:
        return
    permuted = _may_be_permuted(a, b)
    for number, (one, other) in enumerate(zip(a.inputs, b.inputs, strict=False)):
        found = _facts_differ(one.fact, other.fact, tolerance, permuted=permuted)
        if found is not None:
            what, found_a, found_b = found
            yield f"{_name(one, number)}: {what} {found_a} against {found_b}"


def _facts_differ(
    a: TensorFact, b: TensorFact, tolerance: Tolerance, *, permuted: bool
) -> tuple[What, str, str] | None:
    if not _same_shape(a.shape, b.shape, permuted=permuted):
        return "shape", _shape(a.shape), _shape(b.shape)
    if a.dtype != b.dtype and not (tolerance.across_dtypes and "float" in a.dtype and "float" in b.dtype):
        return "dtype", a.dtype, b.dtype
    dtype = max(a.dtype, b.dtype, key=lambda one: _TOLERANCES.get(one, _FLOAT32))
    if a.finite is not None and b.finite is not None and a.finite != b.finite:
        return "finite", _finite(a), _finite(b)
    if a.values and b.values and len(a.values) == len(b.values) and not permuted:
        return _values_differ(a, b, dtype, tolerance)
    if a.stats is not None and b.stats is not None:
        return _stats_differ(a.stats, b.stats, dtype, tolerance)
    return None


def _values_differ(
    a: TensorFact, b: TensorFact, dtype: str, tolerance: Tolerance
) -> tuple[What, str, str] | None:
    for index, (one, other) in enumerate(zip(a.values, b.values, strict=True)):
        try:
            x, y = float(one), float(other)
        except ValueError:  # strings of a string tensor
            if one != other:
                return "value", f"[{index}] {one}", f"[{index}] {other}"
            continue
        if not tolerance.allows(x, y, abs(y), dtype):
            return "value", f"[{index}] {x:.9g}", f"[{index}] {y:.9g}"
    return None


def _stats_differ(a: Stats, b: Stats, dtype: str, tolerance: Tolerance) -> tuple[What, str, str] | None:
    for word in ("nan", "pos_inf", "neg_inf"):
        if getattr(a, word) != getattr(b, word):
            return "finite", f"{getattr(a, word)} {word}", f"{getattr(b, word)} {word}"
    scale = max((abs(_float(one)) for one in (b.min, b.max) if one is not None), default=0.0)
    for word in ("min", "max", "mean", "std", "l2"):
        one, other = getattr(a, word), getattr(b, word)
        if one is None or other is None:
            continue
        size = abs(_float(other)) if word == "l2" else scale
        if not tolerance.allows(_float(one), _float(other), size, dtype):
            return "value", f"{word} {_float(one):.9g}", f"{word} {_float(other):.9g}"
    return None


def _has_bias(node: Node) -> bool:
    return any(one.role == "bias" for one in node.inputs)


def _biased(node: Node, nodes: Sequence[Node]) -> Node:
    """Return the node after `node` that adds a bias to its output, if `node` has none itself."""
    if _has_bias(node) or node.family not in ("linear", "matmul", "conv"):
        return node
    takers = [one for one in nodes if any(operand.producer == node.seq for operand in one.inputs)]
    return takers[0] if takers and takers[0].function in ("add", "bias_add") else node


def _may_be_permuted(a: Node, b: Node) -> bool:
    """Whether the two may hold the same tensor with its axes in another order."""
    layouts = a.attributes.get("layout"), b.attributes.get("layout")
    return layouts[0] != layouts[1] or a.framework != b.framework


def _same_shape(a: Shape | None, b: Shape | None, *, permuted: bool) -> bool:
    if a is None or b is None or None in a or None in b:
        return True  # not known is not different
    return a == b or (permuted and sorted(map(str, a)) == sorted(map(str, b)))


def _shape(shape: Shape | None) -> str:
    return "x".join(map(str, shape)) if shape else "scalar"


def _finite(fact: TensorFact) -> str:
    if fact.finite:
        return "finite"
    counts = fact.stats
    found = [] if counts is None else [("NaN", counts.nan), ("inf", counts.pos_inf), ("-inf", counts.neg_inf)]
    return ", ".join(f"{count} {word}" for word, count in found if count) or "not finite"


def _float(number: Number | None) -> float:
    return math.nan if number is None else float(number)


def _name(operand: Operand, number: int) -> str:
    return operand.name or operand.role or f"input {number}"
