"""Meetings: a data operand that met a weight of another width, read off a failing call."""

from __future__ import annotations

from dataclasses import dataclass

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Failure, Operand, Shape

__all__ = ["Meeting", "meeting_of"]


@dataclass(frozen=True, slots=True)
class Meeting:
    """A data operand that met a weight of another width."""

    data: Operand
    weight: Operand
    takes: int
    given: int
    axis: int
    """Axis of the data operand that was to have `takes` elements."""


def meeting_of(evidence: Evidence, failure: Failure) -> Meeting | None:
    """Return the data and the weight of a failing call whose widths differ; None where it has no such pair."""
    operands = [one for one in failure.operands if one.fact.shape]
    weight = next((one for one in operands if one.role == "weight"), None) or next(
        (one for one in operands if evidence.provenance.stored(one) is not None and one.role != "bias"), None
    )
    data = next((one for one in operands if one is not weight and one.role != "bias"), None)
    if weight is None or data is None:
        return None
    data = _before_layer(evidence, failure, data)
    if not weight.fact.shape or not data.fact.shape:
        return None
    sizes = _sizes(failure, data.fact.shape, weight.fact.shape, weight is operands[0])
    if sizes is None or sizes[0] is None or sizes[1] is None or sizes[0] == sizes[1]:
        return None
    return Meeting(data, weight, sizes[0], sizes[1], sizes[2])


def _before_layer(evidence: Evidence, failure: Failure, data: Operand) -> Operand:
    """Return what the layer was given, before any reshape of its own."""
    node = evidence.provenance.node(data.producer)
    own = node is not None and node.family == "reshape" and failure.module and node.module == failure.module
    return node.inputs[0] if own and node is not None and node.inputs else data


def _sizes(
    failure: Failure, data: Shape, weight: Shape, weight_first: bool
) -> tuple[int | None, int | None, int] | None:
    """Return the width the weight takes, the width it was given, and the data axis that has it."""
    words = failure.attributes
    if failure.family == "conv":
        rank = len(weight)
        channels = len(data) - 1 if str(words.get("layout", "")).endswith("C") else max(len(data) - rank + 1, 0)
        if len(data) not in (rank, rank - 1) or not 0 <= channels < len(data):
            return None
        groups = int(words.get("groups") or 1)
        if words.get("transposed"):
            return weight[-1] if words.get("weight_layout") == "HWIO" else weight[0], data[channels], channels
        takes = weight[-2] if words.get("weight_layout") == "HWIO" else weight[1]
        return None if takes is None else takes * groups, data[channels], channels
    if failure.family == "norm":
        if len(weight) != 1:
            return None
        last = failure.function in ("layer_norm", "rms_norm") or str(words.get("layout", "")).endswith("C")
        axis = len(data) - 1 if last or len(data) < 2 else 1
        return weight[0], data[axis], axis
    if failure.family in ("linear", "matmul"):
        return _product_sizes(words, data, weight, weight_first)
    return None


def _product_sizes(
    words: dict[str, object], data: Shape, weight: Shape, weight_first: bool
) -> tuple[int | None, int | None, int] | None:
    if len(weight) == 1:
        return weight[0], data[-1], len(data) - 1
    if weight_first:
        inner = weight[-2] if words.get("transpose_a") else weight[-1]
        axis = len(data) - (1 if words.get("transpose_b") or len(data) < 2 else 2)
        return inner, data[axis], axis
    turned = words.get("weight_layout") == "OI" or words.get("transpose_b")
    inner = weight[-1] if turned else weight[-2]
    axis = len(data) - (2 if words.get("transpose_a") and len(data) > 1 else 1)
    return inner, data[axis], axis
