"""Path: how the data came to a node, from the nearest producer back to where it entered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdebug.model.event import Node, Operand
from graphdebug.model.run import Run

__all__ = ["data_first", "data_of", "data_path"]

_ASIDE = {"weight": 2, "bias": 3, "labels": 4, "condition": 4, "index": 4, "state": 5, "gradient": 1}
"""Roles of operands that are not the data that flows through, the likelier ones first."""


def data_first(operands: Sequence[Operand]) -> list[Operand]:
    """Return the operands that a node made, the one that carries the data first."""
    made = [one for one in operands if one.producer is not None]
    return sorted(made, key=lambda one: (one.origin != "node", _ASIDE.get(one.role, 0)))


def data_of(operands: Sequence[Operand]) -> Operand:
    """Return the operand that carries the data through."""
    return min(operands, key=lambda one: _ASIDE.get(one.role, 0))


def data_path(run: Run, operands: Sequence[Operand], step: int) -> Iterator[Node]:
    """Yield the producers of the data among `operands`, nearest first, as long as they are of `step`."""
    before: int | None = None
    while True:
        made = (run.producer(one) for one in data_first(operands))
        node = next((one for one in made if one is not None and one.step == step), None)
        if node is None or (before is not None and node.seq >= before):
            return
        yield node
        before, operands = node.seq, node.inputs
