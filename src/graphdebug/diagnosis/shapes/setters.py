"""Setters: which node gave a tensor the size that it has on one axis, through those that kept it."""

from __future__ import annotations

from dataclasses import dataclass

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.geometry import concrete, groups, spatial_axes
from graphdebug.model.event import Node, Operand, Shape

__all__ = ["Setter", "around", "setter"]

_FURTHEST = 500


@dataclass(frozen=True, slots=True)
class Setter:
    """What gave an axis its size: a node, or the operand that the way began with."""

    node: Node | None
    """None where the size came in with `operand`."""
    operand: Operand
    axis: int
    """The axis, of the node's output or of `operand`, counted from the front."""
    lookup: Node | None = None
    """The last node on the way that looked up rows of data, and has this size of its index."""


def setter(evidence: Evidence, operand: Operand, axis: int) -> Setter:
    """Return what gave `operand` its size on `axis`, counted from the front."""
    lookup: Node | None = None
    for _ in range(_FURTHEST):
        node = evidence.provenance.node(operand.producer)
        made = node is not None and node.family in ("fill", "random", "assign")
        if node is None or (made and operand.origin in ("parameter", "buffer", "variable")):
            return Setter(None, operand, axis, lookup)
        through = around(evidence, node, axis)
        if through is not None:
            operand = through
            continue
        before = _before(node, axis)
        if before is None:
            return Setter(node, operand, axis, lookup)
        if before[0] == _rows(node) and evidence.provenance.stored(node.inputs[0]) is None:
            lookup = node
        operand, axis = node.inputs[before[0]], before[1]
    return Setter(None, operand, axis, lookup)


def around(evidence: Evidence, node: Node, axis: int) -> Operand | None:
    """Return what a product took whose leading axes were flattened for it, and `node` put back; else None."""
    after = (node.outputs[0].shape if node.outputs else None) or ()
    if node.family != "reshape" or not node.inputs or axis >= len(after) - 1:
        return None
    product = evidence.provenance.node(node.inputs[0].producer)
    if product is None or product.family not in ("linear", "matmul") or product.site != node.site:
        return None
    for one in product.inputs:
        flat = evidence.provenance.node(one.producer)
        if flat is None or flat.family != "reshape" or flat.site != node.site or not flat.inputs:
            continue
        shape = flat.inputs[0].fact.shape or ()
        if shape[:-1] == after[:-1]:
            return flat.inputs[0]
    return None


def _before(node: Node, axis: int) -> tuple[int, int] | None:
    """Return the input and the axis of it from which `axis` of the output has its size; None if made here."""
    if node.family in ("fill", "random", "placeholder") or not node.outputs or node.outputs[0].shape is None:
        return None
    after = node.outputs[0].shape
    rows = _rows(node)
    places = sorted(range(len(node.inputs)), key=lambda place: place != rows)
    for place, one in ((place, node.inputs[place]) for place in places):
        shape = one.fact.shape
        if shape is None or one.role in ("weight", "bias") or not 0 <= axis < len(after):
            continue
        looked_up = one.role == "index"  # what is looked up has the axes of the index in front
        kept = (axis if axis < len(shape) else None) if looked_up else _kept(node, shape, after, axis)
        if kept is not None and shape[kept] == after[axis]:
            return place, kept
    return None


def _rows(node: Node) -> int | None:
    """Return which input says the rows that a lookup takes; an index of as many axes as the data says more."""
    for place, one in enumerate(node.inputs):
        if place > 0 and one.role == "index" and one.fact.dtype != "bool":
            axis, rank = node.attributes.get("axis"), len(node.inputs[0].fact.shape or ())
            each = axis == 0 and len(one.fact.shape or ()) == rank > 1
            return place if axis in (None, 0) and not each else None
    return None


def _kept(node: Node, before: Shape, after: Shape, axis: int) -> int | None:
    """Return the axis of the input that became `axis` of the output, where the op leaves sizes as they are."""
    if node.family in ("linear", "matmul"):
        return axis if axis < len(after) - 1 and len(before) == len(after) else None
    if node.family in ("conv", "pool", "upsample"):
        inside = axis in spatial_axes(node, len(after)) if node.family != "conv" else axis != 0
        return None if inside or len(before) != len(after) else axis
    if node.family == "permute":
        order = node.attributes.get("order")
        known = isinstance(order, list | tuple) and len(order) == len(after)
        return int(order[axis]) % len(before) if known and order is not None else None
    if node.family == "reshape":
        return _through_reshape(before, after, axis)
    if node.family == "reduce" and len(before) != len(after):
        axes = node.attributes.get("axis")
        gone = {int(one) % len(before) for one in (axes if isinstance(axes, list | tuple) else [axes]) if
                isinstance(one, int)}  # fmt: skip
        left = [one for one in range(len(before)) if one not in gone]
        return left[axis] if len(left) == len(after) else None
    if len(before) != len(after) and node.function in ("select", "unbind", "stack"):
        return _beside(node, before, after, axis)
    back = axis - len(after) + len(before)  # as broadcasting aligns them
    return back if 0 <= back < len(before) else None


def _beside(node: Node, before: Shape, after: Shape, axis: int) -> int | None:
    """Return the axis that is `axis` after another one went (a select) or came (a stack)."""
    one = node.attributes.get("axis")
    if not isinstance(one, int):
        return None
    if len(before) > len(after):
        return axis + (axis >= one % len(before))
    new = one % len(after)
    return None if axis == new else axis - (axis > new)


def _through_reshape(before: Shape, after: Shape, axis: int) -> int | None:
    one, other = concrete(before), concrete(after)
    if one is None or other is None:
        return None
    for ins, outs in groups(one, other):
        if axis in outs:
            same = [place for place in ins if one[place] == other[axis]]
            return same[0] if len(same) == 1 and sum(other[place] != 1 for place in outs) <= 1 else None
    return None
