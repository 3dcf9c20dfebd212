"""Stencils: the line of a node with holes for what differs between executions of one op at one place.

A stencil is cut from the first such node; compiled code fills in the numbers of events, times and statistics
of those that follow, for which neither structs are built nor encoded.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from graphdebug.model.event import Gradient, Node, Operand, TensorFact

__all__ = ["HOLE", "cut", "cut_gradient"]

HOLE: Any = msgspec.Raw(b"\0")  # JSON text has no such byte
_encoder = msgspec.json.Encoder()


def cut(node: Node, *fields: str) -> bytes:
    """Return a node's line with zero bytes for holes: its numbers, statistics and time, and `fields`."""
    inputs = [_operand_with_holes(one) for one in node.inputs]
    outputs = [_with_holes(fact) for fact in node.outputs]
    forward = None if node.forward is None else HOLE
    return _encoder.encode(
        replace(
            node, seq=HOLE, step=HOLE, inputs=inputs, outputs=outputs, forward=forward, time=HOLE,
            **dict.fromkeys(fields, HOLE),
        )
    )  # fmt: skip


def cut_gradient(gradient: Gradient) -> bytes | None:
    """Return a gradient's line with zero bytes for holes, its name being one; None where others are missing."""
    if gradient.node is None or gradient.producer is None:
        return None
    fact = _with_holes(gradient.fact)
    return _encoder.encode(
        replace(gradient, seq=HOLE, step=HOLE, fact=fact, name=HOLE, node=HOLE, producer=HOLE)
    )


def _operand_with_holes(operand: Operand) -> Operand:
    fact = _with_holes(operand.fact)
    if fact is operand.fact and operand.producer is None:
        return operand
    return replace(operand, fact=fact, producer=None if operand.producer is None else HOLE)


def _with_holes(fact: TensorFact) -> TensorFact:
    if fact.alias_of is None and fact.stats is None:
        return fact
    return replace(
        fact, alias_of=None if fact.alias_of is None else HOLE, stats=None if fact.stats is None else HOLE
    )
