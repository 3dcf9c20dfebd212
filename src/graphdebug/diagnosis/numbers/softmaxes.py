"""Softmaxes: a softmax is one, whether an op of that name ran or compiler or user spelled it out."""

from __future__ import annotations

from dataclasses import dataclass

from graphdebug.diagnosis.provenance import Provenance
from graphdebug.model.event import Node, Operand

__all__ = ["Softmax", "softmax_of"]


@dataclass(frozen=True, slots=True)
class Softmax:
    """What a softmax was taken of, and over which axis."""

    operand: Operand
    axis: int | None
    logarithm: bool = False


def softmax_of(provenance: Provenance, node: Node) -> Softmax | None:
    """Return the softmax that `node` ends: an op of that name, ``exp(x) / sum(exp(x))`` or its logarithm."""
    if not node.inputs:
        return None
    if node.family == "softmax":
        return Softmax(node.inputs[0], _axis(node), node.function == "log_softmax")
    if node.family == "permute":
        return _turned(provenance, node)
    if node.function not in ("div", "sub") or len(node.inputs) != 2:
        return None
    above, below = node.inputs
    total = provenance.node(below.producer)
    if node.function == "sub" and total is not None and total.function == "log" and total.inputs:
        total = provenance.node(total.inputs[0].producer)
    elif node.function == "sub":
        return None
    if total is None or total.function != "sum" or not total.inputs or not total.attributes.get("keepdims"):
        return None
    powers = provenance.node(total.inputs[0].producer)
    if powers is None or powers.function != "exp" or not powers.inputs:
        return None
    raised = powers.inputs[0]
    if (above.producer != powers.seq) if node.function == "div" else (above.producer != raised.producer):
        return None
    return Softmax(_unshifted(provenance, raised), _axis(total), node.function == "sub")


def _turned(provenance: Provenance, node: Node) -> Softmax | None:
    """Return the softmax over an axis that one line brought to the end for it and `node` brings back."""
    inner = provenance.node(node.inputs[0].producer)
    before = provenance.node(inner.inputs[0].producer) if inner is not None and inner.inputs else None
    if inner is None or before is None or inner.family != "softmax" or before.family != "permute":
        return None
    order, axis = before.attributes.get("order"), _axis(inner)
    if not isinstance(order, list | tuple) or axis is None or not node.site == inner.site == before.site:
        return None
    return Softmax(before.inputs[0], int(order[axis % len(order)]), inner.function == "log_softmax")


def _unshifted(provenance: Provenance, operand: Operand) -> Operand:
    """Return `operand` as it was before its maximum was taken off."""
    shift = provenance.node(operand.producer)
    if shift is None or shift.function != "sub" or len(shift.inputs) != 2:
        return operand
    highest = provenance.node(shift.inputs[1].producer)
    taken = highest is not None and highest.function in ("amax", "max") and highest.inputs
    same = taken and highest is not None and highest.inputs[0].producer == shift.inputs[0].producer
    return shift.inputs[0] if same else operand


def _axis(node: Node) -> int | None:
    axis = node.attributes.get("axis")
    axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
    return axis if isinstance(axis, int) else None
