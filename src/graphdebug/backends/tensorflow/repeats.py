"""A run that is like the one before it: its events are made from the last ones, numbers and facts renewed.

A training loop runs one plan again and again, and from step to step only sequence numbers and measured
numbers change. Making events anew from the plan costs ten times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from graphdebug.backends.protocol import Sink
from graphdebug.model.event import Event, Gradient, Node, Operand, TensorFact

__all__ = ["Repeat", "lean"]

_FIELDS = Node.__struct_fields__
_node: Callable[..., Node] = Node
_HEAD, _TAIL = _FIELDS[2 : _FIELDS.index("inputs")], _FIELDS[_FIELDS.index("forward") + 1 :]
_Place = tuple[int, int]
"""A measured tensor: node index and output."""


class _Row(NamedTuple):
    """One node event of the last run, taken apart."""

    head: tuple[Any, ...]
    inputs: tuple[Operand, ...]
    moving: bool
    """Whether an input was made in the same run, so that its producer's number moves along."""
    outputs: tuple[TensorFact, ...]
    places: tuple[_Place | None, ...]
    """Where each output was measured, if it was."""
    forward: int | None
    tail: tuple[Any, ...]


def lean(facts: Mapping[Any, TensorFact]) -> tuple[Any, ...]:
    """Return what of some facts an operand repeats: if it is the same, so are the operands."""
    return tuple([(fact.shape, fact.finite) for fact in facts.values()])


class Repeat:
    """The last run of a plan, as a pattern for the next.

    Args:
        events: what the last run gave: nodes, then gradients, numbered without gaps.
        measured: the facts that were measured in it, by place.
        signature: what has to be the same in a run like it.
        numbers: what its probes gave.

    """

    def __init__(
        self, events: Sequence[Event], measured: Mapping[_Place, TensorFact], signature: Any, numbers: bytes
    ) -> None:
        place_of = {id(fact): place for place, fact in measured.items()}
        self._first = events[0].seq
        self._rows = [_row(event, place_of) for event in events if isinstance(event, Node)]
        self._gradients = [
            (event, place_of.get(id(event.fact))) for event in events if isinstance(event, Gradient)
        ]
        self._signature = signature
        self._numbers = numbers
        self._lean = lean(measured)

    def same_numbers(self, signature: Any, numbers: bytes) -> bool:
        """Whether a run measured exactly what the last one did."""
        return bool(numbers) and self._numbers == numbers and self._signature == signature

    def is_like(self, signature: Any, measured: Mapping[_Place, TensorFact]) -> bool:
        """Whether a run differs from the last in measured statistics at most."""
        return bool(self._signature == signature and self._lean == lean(measured))

    def events(self, sink: Sink, measured: Mapping[_Place, TensorFact] | None) -> list[Event] | None:
        """Return the events of a run like the last, or None if its numbers are not in one row.

        Args:
            sink: gives sequence numbers.
            measured: the new facts by place, or None where the numbers are the same as in the last run.

        """
        count = len(self._rows) + len(self._gradients)
        seqs = [sink.next_seq() for _ in range(count)]
        if seqs[-1] - seqs[0] != count - 1:
            return None
        shift, step = seqs[0] - self._first, sink.step
        made: list[Event] = []
        for seq, row in zip(seqs, self._rows, strict=False):
            inputs = tuple([_moved(one, shift) for one in row.inputs]) if row.moving else row.inputs
            outputs = row.outputs if measured is None else _renewed(row.outputs, row.places, measured)
            forward = None if row.forward is None else row.forward + shift
            made.append(_node(seq, step, *row.head, inputs, outputs, forward, *row.tail))
        for seq, (one, place) in zip(seqs[len(self._rows) :], self._gradients, strict=True):
            fact = one.fact if measured is None or place is None else measured[place]
            node = None if one.node is None else one.node + shift
            producer = None if one.producer is None else one.producer + shift
            made.append(Gradient(seq, step, fact, one.name, node, one.output, producer, one.site))
        return made


def _row(event: Node, place_of: Mapping[int, _Place]) -> _Row:
    return _Row(
        tuple(getattr(event, name) for name in _HEAD),
        event.inputs,
        any(one.producer is not None for one in event.inputs),
        event.outputs,
        tuple(place_of.get(id(fact)) for fact in event.outputs),
        event.forward,
        tuple(getattr(event, name) for name in _TAIL),
    )


def _moved(one: Operand, shift: int) -> Operand:
    if one.producer is None:
        return one
    return Operand(one.fact, one.origin, one.producer + shift, one.output, one.name, one.role)


def _renewed(
    outputs: tuple[TensorFact, ...], places: tuple[_Place | None, ...], measured: Mapping[_Place, TensorFact]
) -> tuple[TensorFact, ...]:
    return tuple(
        [fact if place is None else measured[place] for fact, place in zip(outputs, places, strict=True)]
    )
