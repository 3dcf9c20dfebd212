"""Renumbering an event: its own number and every reference in it, so that several logs can be one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from graphdebug.model.event import Event, Failure, Gradient, Node, Operand, TensorFact

__all__ = ["renumbered"]

E = TypeVar("E", bound=Event)

_REFERENCES = ("saved_by", "mutated_by")
"""Keys of `Failure.detail` that hold sequence numbers."""


def renumbered(event: E, count: int, index: int) -> E:
    """Return `event` of the index-th of `count` logs: number ``s`` has become ``s * count + index``."""
    if count == 1:
        return event

    def new(seq: int | None) -> int | None:
        return None if seq is None else seq * count + index

    def fact(one: TensorFact) -> TensorFact:
        return one if one.alias_of is None else replace(one, alias_of=new(one.alias_of))

    def operand(one: Operand) -> Operand:
        return replace(one, producer=new(one.producer), fact=fact(one.fact))

    changes: dict[str, Any] = {"seq": new(event.seq)}
    if isinstance(event, Node):
        changes |= {
            "inputs": tuple(map(operand, event.inputs)),
            "outputs": tuple(map(fact, event.outputs)),
            "forward": new(event.forward),
        }
    elif isinstance(event, Gradient):
        changes |= {"fact": fact(event.fact), "node": new(event.node), "producer": new(event.producer)}
    elif isinstance(event, Failure):
        changes |= {
            "operands": tuple(map(operand, event.operands)),
            "node": new(event.node),
            "detail": _detail(event.detail, count, index),
        }
    return replace(event, **changes)


def _detail(detail: Mapping[str, Any], count: int, index: int) -> dict[str, Any]:
    changed = dict(detail)
    for key in _REFERENCES:
        value = changed.get(key)
        if isinstance(value, int):
            changed[key] = value * count + index
        elif isinstance(value, list):
            changed[key] = [seq * count + index for seq in value]
    return changed
