"""Records: one executed op as the hot path saw it, and how its arguments and operands are read off that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from graphdebug.backends.torch.code.stack import Place
from graphdebug.backends.torch.nodes.attributes import Call
from graphdebug.backends.torch.nodes.facts import fact_of_operand
from graphdebug.backends.torch.nodes.ops import Op
from graphdebug.backends.torch.nodes.origins import Trace
from graphdebug.model.event import Operand

__all__ = [
    "TENSOR", "Accumulated", "Raw", "Record", "call_of", "named_operand", "operand_of", "operands_of",
    "sort_arguments",
]  # fmt: skip

TENSOR = object()
"""Stands for a tensor in the recorded arguments of an op."""


class Accumulated(NamedTuple):
    """The leaf tensor whose gradient an op left."""

    name: str
    """Of the parameter, or of the user's variable that holds the tensor."""
    seq: int
    """Number for the gradient's event."""
    made: int | None
    """Number of the node that made the leaf, where one did."""


class Raw(NamedTuple):
    """One executed op as the hot path saw it: traces and plain values, never tensors.

    The hot path makes plain tuples of these fields: the record of a running op, then how it ended.
    """

    seq: int
    step: int
    op: Op
    phase: str
    place: Place
    module: str
    traces: list[Trace]
    """The tensor arguments, in order."""
    statics: list[Any]
    """All arguments, tensors replaced by `TENSOR`, those given by keyword as a dict at the end."""
    forward: int | None
    name: str
    parameter: Accumulated | None
    """The leaf whose gradient this op left."""
    thread: int
    began: float
    ended: float = 0.0
    outputs: Sequence[Trace] = ()
    alias_of: int | None = None
    execution: Any = "executed"
    mode: str = "eager"


Record = tuple[Any, ...]
"""The fields of a Raw, as the hot path holds them."""


def sort_arguments(op: Op, statics: list[Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the argument name of each tensor argument, and the other arguments by name."""
    tensors: list[str] = []
    values: dict[str, Any] = {}
    pairs: list[tuple[str, Any]] = []
    for index, value in enumerate(statics):
        if type(value) is dict and index == len(statics) - 1:
            pairs += value.items()
        else:
            pairs.append((op.arguments[index] if index < len(op.arguments) else "", value))
    for name, value in pairs:
        count = _tensors_in(value)
        if count:
            tensors += [name] * count
        else:
            values[name] = value
    return tensors, values


def call_of(raw: Raw) -> Call:
    """Return the call of a record: its op, its non-tensor arguments, the shapes of its inputs."""
    _, values = sort_arguments(raw.op, raw.statics)
    return Call(raw.op, raw.op.defaults | values, [trace[4].shape for trace in raw.traces])


def operand_of(op: Op, argument: str, trace: Trace) -> Operand:
    """Return the operand that the tensor given for `argument` is."""
    return named_operand(trace, op.roles.get(argument, ""), measured=op.counts)


def operands_of(raw: Raw) -> list[tuple[Operand, Any]]:
    """Return the operands of a record, each with its tensor where that is still alive."""
    arguments, _ = sort_arguments(raw.op, raw.statics)
    return [
        (operand_of(raw.op, argument, trace), trace[0]())
        for trace, argument in zip(raw.traces, arguments, strict=True)
    ]


def _tensors_in(value: Any) -> int:
    if value is TENSOR:
        return 1
    return sum(_tensors_in(one) for one in value) if type(value) is list else 0


def named_operand(trace: Trace, role: str, *, measured: bool = False) -> Operand:
    """Return the operand that a tensor is; `measured` says whether an op calculates with it."""
    origin, name = trace[6] or ("node", "")
    fact = fact_of_operand(trace[4], trace[5], measured=measured)
    return Operand(fact, origin, trace[2], trace[3], name, role)
