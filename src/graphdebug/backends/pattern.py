"""Pattern: the events of something that runs again and again, rendered once, renumbered each time.

A training loop on a static graph runs the same nodes in every step; only sequence numbers, the step, the time
and statistics differ. Making and encoding a struct for each node again costs many times what the step itself
may cost.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from graphdebug.model.batch import Batch
from graphdebug.model.event import Event, Gradient, Node, Operand, Stats, TensorFact

_kernel: Any
try:
    from graphdebug.backends import _kernel
except ImportError:  # not compiled on this machine: lines are put together here
    _kernel = None

__all__ = ["Pattern"]

_FIELDS = Node.__struct_fields__
_HEAD = _FIELDS[2 : _FIELDS.index("inputs")]
_MIDDLE = _FIELDS[_FIELDS.index("forward") + 1 : _FIELDS.index("time")]
_TAIL = _FIELDS[_FIELDS.index("time") + 1 :]
_node: Callable[..., Node] = Node

_NUMBER, _STEP, _TEXT = 0, 1, 2
"""What goes into a gap of the lines: a sequence number, the step, a text (the time, a tensor's statistics)."""
_SEQ_MARK, _STEP_MARK, _STATS_MARK, _OUTER_MARK = (mark * 10**15 for mark in (71, 72, 74, 75))
_TIME_MARK = 73e12
_MARKS = re.compile(rb'71(\d{15})|(72)0{15}|"time":(73)0{12}\.0|\{"nan":74(\d{15})\}|75(\d{15})')
_TIME_KEY = len('"time":')
_encoder = msgspec.json.Encoder()
_stats = msgspec.json.Decoder(Stats)


class _Row(NamedTuple):
    """One node, taken apart."""

    head: tuple[Any, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[TensorFact, ...]
    fixed: bool
    """Whether inputs and outputs are the same in every run."""
    forward: int | None
    middle: tuple[Any, ...]
    time: float
    tail: tuple[Any, ...]


class Pattern:
    """What one run gave, to be given again for runs like it.

    Args:
        events: nodes and gradients, numbered without gaps.
        measured: which facts have statistics that differ from run to run: their place among the texts that
            `again` is given, by id.
        places: how many texts it is given.
        time: when the run began, if its nodes say so.
        outer: numbers of earlier events that differ from run to run; others before the first stay as they are.

    """

    def __init__(
        self, events: Sequence[Node | Gradient], measured: Mapping[int, int], *, places: int, time: float = 0.0,
        outer: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self._first = events[0].seq
        self._measured = measured
        self._time = time
        self._outer = {seq: position for position, seq in enumerate(outer)}
        self._kept = list(events)  # ids in `measured` hold as long as the facts live
        self._rows = [self._row(one) if isinstance(one, Node) else one for one in events]
        self._fixed, self._slots = b"", b""
        self._render(events, places)

    @property
    def size(self) -> int:
        """How many events a run gives."""
        return len(self._rows)

    def again(
        self,
        first: int,
        step: int,
        texts: Sequence[bytes] = (),
        *,
        time: float = 0.0,
        outer: Sequence[int] = (),
    ) -> Batch:
        """Return the events of a run like the first.

        Args:
            first: the number of its first event; the others follow without gaps.
            step: the step it ran in.
            texts: the JSON of the statistics that were measured.
            time: when it began.
            outer: what stands for the pattern's `outer` numbers.

        """
        given = (first, step, tuple(texts), time, outer)
        return Batch(len(self._rows), partial(self._events, *given), partial(self._lines, *given))

    def _lines(
        self, first: int, step: int, texts: tuple[bytes, ...], time: float, outer: Sequence[int]
    ) -> bytes:
        if not self._fixed:
            return _encoder.encode_lines(self._events(first, step, texts, time, outer))[:-1]
        texts = (repr(time).encode(), *texts, *[b"%d" % seq for seq in outer])
        if _kernel is not None:
            return bytes(_kernel.fill(self._fixed, self._slots, first, step, texts))
        return _fill(self._fixed, self._slots, first, step, texts)

    def _events(
        self, first: int, step: int, texts: tuple[bytes, ...], time: float, outer: Sequence[int]
    ) -> list[Event]:
        return self._built(first, step, [_stats.decode(text) for text in texts], time, outer)

    def _built(
        self, first: int, step: int, stats: Sequence[Stats], time: float, outer: Sequence[int]
    ) -> list[Event]:
        shift = first - self._first
        renewed: dict[int, TensorFact] = {}
        made: list[Event] = []

        def moved(seq: int | None) -> int | None:
            if seq is None or self._stays(seq):
                return seq
            return outer[self._outer[seq]] if seq in self._outer else seq + shift

        def fact(one: TensorFact) -> TensorFact:
            position = self._measured.get(id(one))
            if position is None and self._stays(one.alias_of):
                return one
            new = renewed.get(id(one))
            if new is None:
                new = renewed[id(one)] = msgspec.structs.replace(
                    one,
                    alias_of=moved(one.alias_of),
                    stats=one.stats if position is None else stats[position],
                )
            return new

        for seq, row in enumerate(self._rows, first):
            if isinstance(row, Gradient):
                node, producer = moved(row.node), moved(row.producer)
                made.append(
                    Gradient(
                        seq, step, fact(row.fact), row.name, node, row.output, producer, row.site, row.stage
                    )
                )
                continue
            inputs, outputs = row.inputs, row.outputs
            if not row.fixed:
                outputs = tuple([fact(one) for one in outputs])
                inputs = tuple([
                    Operand(
                        fact(one.fact), one.origin, moved(one.producer), one.output, one.name,
                        one.role, one.expression,
                    )
                    for one in inputs
                ])  # fmt: skip
            forward = moved(row.forward)
            began = time if row.time and row.time == self._time else row.time
            made.append(_node(seq, step, *row.head, inputs, outputs, forward, *row.middle, began, *row.tail))
        return made

    def _stays(self, seq: int | None) -> bool:
        return seq is None or (seq < self._first and seq not in self._outer)

    def _row(self, event: Node) -> _Row:
        facts = [*event.outputs, *(one.fact for one in event.inputs)]
        seqs = [*(one.producer for one in event.inputs), *(one.alias_of for one in facts)]
        return _Row(
            tuple(getattr(event, name) for name in _HEAD),
            event.inputs,
            event.outputs,
            all(id(one) not in self._measured for one in facts) and all(self._stays(seq) for seq in seqs),
            event.forward,
            tuple(getattr(event, name) for name in _MIDDLE),
            event.time,
            tuple(getattr(event, name) for name in _TAIL),
        )

    def _render(self, events: Sequence[Node | Gradient], count: int) -> None:
        """Encode the events with marks where they differ from run to run, and cut them out again."""
        marks = [Stats(nan=_STATS_MARK + position) for position in range(count)]
        outside = [_OUTER_MARK + count + position for position in range(len(self._outer))]
        marked = _encoder.encode_lines(self._built(_SEQ_MARK, _STEP_MARK, marks, _TIME_MARK, outside))[:-1]
        parts: list[bytes] = []
        slots = array("q")
        end = length = 0
        for found, kind, what, size in _gaps(marked):
            parts.append(marked[end:found])
            length += found - end
            slots.extend((length, kind, what))
            end = found + size
        parts.append(marked[end:])
        self._fixed, self._slots = b"".join(parts), slots.tobytes()
        step = events[0].step
        texts = [b"{}"] * count
        for one in _facts(events):
            if id(one) in self._measured:
                texts[self._measured[id(one)]] = _encoder.encode(one.stats)
        if (
            self._lines(self._first, step, tuple(texts), self._time, tuple(self._outer))
            != _encoder.encode_lines(events)[:-1]
        ):
            self._fixed = b""  # a text of the user's looks like a mark of ours


def _gaps(marked: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield position, kind, number and length of each mark."""
    for found in _MARKS.finditer(marked):
        seq, step, time, stats, outer = found.groups()
        start, end = found.span()
        if seq is not None:
            yield start, _NUMBER, int(seq), end - start
        elif step is not None:
            yield start, _STEP, 0, end - start
        elif time is not None:
            yield start + _TIME_KEY, _TEXT, 0, end - start - _TIME_KEY
        elif stats is not None:
            yield start, _TEXT, int(stats) + 1, end - start
        elif outer is not None:
            yield start, _TEXT, int(outer) + 1, end - start


def _facts(events: Sequence[Node | Gradient]) -> Iterator[TensorFact]:
    for event in events:
        if isinstance(event, Node):
            yield from event.outputs
            yield from (one.fact for one in event.inputs)
        else:
            yield event.fact


def _fill(fixed: bytes, slots: bytes, first: int, step: int, texts: Sequence[bytes]) -> bytes:
    """Do what the kernel's `fill` does."""
    places = array("q")
    places.frombytes(slots)
    parts: list[bytes] = []
    before = 0
    for at, kind, what in zip(*[iter(places)] * 3, strict=True):
        parts.append(fixed[before:at])
        parts.append(texts[what] if kind == _TEXT else b"%d" % (first + what if kind == _NUMBER else step))
        before = at
    return b"".join([*parts, fixed[before:]])
