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
_SEQ_MARK, _STEP_MARK, _STATS_MARK, _TIME_MARK = 71 * 10**15, 72 * 10**15, 74 * 10**15, 73e12
_MARKS = re.compile(rb'71(\d{15})|(72)0{15}|"time":(73)0{12}\.0|\{"nan":74(\d{15})\}')
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
        events: nodes and gradients, numbered without gaps; what they refer to before the first stays as it is.
        measured: which facts have statistics that differ from run to run: their place among the texts that
            `again` is given, by id.
        places: how many texts it is given.
        time: when the run began, if its nodes say so.

    """

    def __init__(
        self, events: Sequence[Node | Gradient], measured: Mapping[int, int], *, places: int, time: float = 0.0
    ) -> None:
        self._first = events[0].seq
        self._measured = measured
        self._time = time
        self._kept = list(events)  # ids in `measured` hold as long as the facts live
        self._rows = [self._row(one) if isinstance(one, Node) else one for one in events]
        self._fixed, self._slots = b"", b""
        self._render(events, places)

    @property
    def size(self) -> int:
        """How many events a run gives."""
        return len(self._rows)

    def again(self, first: int, step: int, texts: Sequence[bytes] = (), time: float = 0.0) -> Batch:
        """Return the events of a run like the first.

        Args:
            first: the number of its first event; the others follow without gaps.
            step: the step it ran in.
            texts: the JSON of the statistics that were measured.
            time: when it began.

        """
        given = tuple(texts)
        return Batch(
            len(self._rows),
            partial(self._events, first, step, given, time),
            partial(self._lines, first, step, given, time),
        )

    def _lines(self, first: int, step: int, texts: tuple[bytes, ...], time: float) -> bytes:
        if not self._fixed:
            return _encoder.encode_lines(self._events(first, step, texts, time))[:-1]
        texts = (repr(time).encode(), *texts)
        if _kernel is not None:
            return bytes(_kernel.fill(self._fixed, self._slots, first, step, texts))
        return _fill(self._fixed, self._slots, first, step, texts)

    def _events(self, first: int, step: int, texts: tuple[bytes, ...], time: float) -> list[Event]:
        return self._built(first, step, [_stats.decode(text) for text in texts], time)

    def _built(self, first: int, step: int, stats: Sequence[Stats], time: float) -> list[Event]:
        shift = first - self._first
        renewed: dict[int, TensorFact] = {}
        made: list[Event] = []

        def fact(one: TensorFact) -> TensorFact:
            position = self._measured.get(id(one))
            if position is None and (one.alias_of is None or one.alias_of < self._first):
                return one
            new = renewed.get(id(one))
            if new is None:
                new = renewed[id(one)] = msgspec.structs.replace(
                    one,
                    alias_of=self._moved(one.alias_of, shift),
                    stats=one.stats if position is None else stats[position],
                )
            return new

        for seq, row in enumerate(self._rows, first):
            if isinstance(row, Gradient):
                node, producer = self._moved(row.node, shift), self._moved(row.producer, shift)
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
                        fact(one.fact), one.origin, self._moved(one.producer, shift), one.output, one.name,
                        one.role, one.expression,
                    )
                    for one in inputs
                ])  # fmt: skip
            forward = self._moved(row.forward, shift)
            began = time if row.time and row.time == self._time else row.time
            made.append(_node(seq, step, *row.head, inputs, outputs, forward, *row.middle, began, *row.tail))
        return made

    def _moved(self, seq: int | None, shift: int) -> int | None:
        return seq if seq is None or seq < self._first else seq + shift

    def _row(self, event: Node) -> _Row:
        facts = [*event.outputs, *(one.fact for one in event.inputs)]
        seqs = [*(one.producer for one in event.inputs), *(one.alias_of for one in facts)]
        return _Row(
            tuple(getattr(event, name) for name in _HEAD),
            event.inputs,
            event.outputs,
            all(id(one) not in self._measured for one in facts)
            and all(seq is None or seq < self._first for seq in seqs),
            event.forward,
            tuple(getattr(event, name) for name in _MIDDLE),
            event.time,
            tuple(getattr(event, name) for name in _TAIL),
        )

    def _render(self, events: Sequence[Node | Gradient], count: int) -> None:
        """Encode the events with marks where they differ from run to run, and cut them out again."""
        marks = [Stats(nan=_STATS_MARK + position) for position in range(count)]
        marked = _encoder.encode_lines(self._built(_SEQ_MARK, _STEP_MARK, marks, _TIME_MARK))[:-1]
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
        if self._lines(self._first, step, tuple(texts), self._time) != _encoder.encode_lines(events)[:-1]:
            self._fixed = b""  # a text of the user's looks like a mark of ours


def _gaps(marked: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield position, kind, number and length of each mark."""
    for found in _MARKS.finditer(marked):
        seq, step, time, stats = found.groups()
        start, end = found.span()
        if seq is not None:
            yield start, _NUMBER, int(seq), end - start
        elif step is not None:
            yield start, _STEP, 0, end - start
        elif time is not None:
            yield start + _TIME_KEY, _TEXT, 0, end - start - _TIME_KEY
        elif stats is not None:
            yield start, _TEXT, int(stats) + 1, end - start


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
