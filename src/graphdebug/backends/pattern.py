"""Pattern: the events of something that runs again and again, rendered once, renumbered each time.

A training loop on a static graph runs the same nodes in every step; only sequence numbers, the step, the time
and statistics differ. Making and encoding a struct for each node again costs many times what the step itself
may cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from graphdebug.model.batch import Batch, Filled
from graphdebug.model.event import Event, Gradient, Node, Operand, Stats, TensorFact
from graphdebug.model.form import GAP, STEP, Form

__all__ = ["Pattern"]

_FIELDS = Node.__struct_fields__
_HEAD = _FIELDS[2 : _FIELDS.index("inputs")]
_MIDDLE = _FIELDS[_FIELDS.index("forward") + 1 : _FIELDS.index("time")]
_TAIL = _FIELDS[_FIELDS.index("time") + 1 :]
_node: Callable[..., Node] = Node

_SEQ_MARK, _STEP_MARK, _STATS_MARK, _OUTER_MARK = (mark * 10**15 for mark in (71, 72, 74, 75))
_TIME_MARK = 73e12
_MARKS = re.compile(rb'71(\d{15})|(72)0{15}|"time":(73)0{12}\.0|\{"nan":74(\d{15})\}|75(\d{15})')
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
        self._form = self._cut(events, places)
        """None where a text of the user's looks like a mark of ours."""

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
        given = (first, step, texts, time, outer)
        if self._form is None:
            return Batch(len(self._rows), partial(self._events, *given), partial(self._encoded, *given))
        into = (b"%r" % time, *texts, *[b"%d" % seq for seq in outer])
        return Filled(self._form, first, step, into, partial(self._events, *given))

    def _encoded(
        self, first: int, step: int, texts: Sequence[bytes], time: float, outer: Sequence[int]
    ) -> bytes:
        return _encoder.encode_lines(self._events(first, step, texts, time, outer))[:-1]

    def _events(
        self, first: int, step: int, texts: Sequence[bytes], time: float, outer: Sequence[int]
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

    def _cut(self, events: Sequence[Node | Gradient], count: int) -> Form | None:
        """Encode the events with marks where they differ from run to run, and cut them out again."""
        marks = [Stats(nan=_STATS_MARK + position) for position in range(count)]
        outside = [_OUTER_MARK + count + position for position in range(len(self._outer))]
        marked = _encoder.encode_lines(self._built(_SEQ_MARK, _STEP_MARK, marks, _TIME_MARK, outside))[:-1]
        gaps: list[int] = []

        def gap(found: re.Match[bytes]) -> bytes:
            seq, step, time, stats, outer = found.groups()
            if seq is not None:
                gaps.append(int(seq))
            elif step is not None:
                gaps.append(STEP)
            else:
                gaps.append(STEP - 1 - (0 if time is not None else int(stats or outer) + 1))
            return b'"time":' + GAP if time is not None else GAP

        form = Form(_MARKS.sub(gap, marked), gaps)
        texts = [b"{}"] * count
        for one in _facts(events):
            if id(one) in self._measured:
                texts[self._measured[id(one)]] = _encoder.encode(one.stats)
        into = (b"%r" % self._time, *texts, *[b"%d" % seq for seq in self._outer])
        same = form.fill(self._first, events[0].step, into) == _encoder.encode_lines(events)[:-1]
        return form if same else None


def _facts(events: Sequence[Node | Gradient]) -> Iterator[TensorFact]:
    for event in events:
        if isinstance(event, Node):
            yield from event.outputs
            yield from (one.fact for one in event.inputs)
        else:
            yield event.fact
