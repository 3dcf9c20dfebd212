"""Again: a call of a function that is like an earlier one, whose nodes are rendered from the earlier ones."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from graphdebug.backends.pattern import Pattern
from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.packs import all_finite, kernel
from graphdebug.backends.tensorflow.two.ledger import Made
from graphdebug.backends.tensorflow.two.plan import Plan, Slots
from graphdebug.backends.tensorflow.two.playing import Run, measured, summed
from graphdebug.backends.tensorflow.two.summaries import MEASURES, WIDTHS
from graphdebug.model.batch import Batch
from graphdebug.model.event import Level, Stats, TensorFact

__all__ = ["Again", "Call"]

_encoder = msgspec.json.Encoder()
_stats = msgspec.json.Decoder(Stats)


class Call(NamedTuple):
    """One call of a function."""

    arguments: Sequence[Made]
    floats: np.ndarray
    """What it handed out: summaries of numbers."""
    ints: np.ndarray
    position: Any
    """The user's place that called it."""
    began: float


class Again:
    """A call as a pattern for those like it.

    Args:
        plan: of the function; it has no loops and branches.
        level: how much is recorded.
        run: the nodes that the call made.
        call: the call.
        results: where the function's outputs came from.

    Raises:
        ValueError: other calls can't be rendered from this one.

    """

    def __init__(self, plan: Plan, level: Level, run: Run, call: Call, results: Sequence[Made]) -> None:
        events = run.events
        if not events or events[-1].seq - events[0].seq != len(events) - 1:
            raise ValueError("the nodes are not numbered in a row")
        self._plan, self._level = plan, level
        self._wholes = sum(rank for _, _, rank in plan.slots.shapes)
        """Where whole numbers begin in what is handed out, behind the shapes."""
        self._call, self._results = call, results
        self._first = events[0].seq
        seqs = [one.seq for one in call.arguments if one.seq is not None]
        self._outer = list(dict.fromkeys(seqs))
        self._same = [seqs.index(seq) for seq in seqs]
        self._ints = call.ints[: self._wholes].tobytes()
        place = {id(one): index for index, one in enumerate(call.arguments)}
        self._passed = [place.get(id(one)) for one in results]
        if any(run.facts[index][output].finite is False for index, output in plan.slots.looked):
            raise ValueError("a tensor is not finite")
        places = [
            *(plan.slots.floats if level == "stats" else ()),
            *((index, output) for index, output, _ in [*plan.slots.elements, *plan.slots.whole]),
        ]
        facts = [run.facts[index][output] for index, output in places]
        if any(fact.stats is None for fact in facts):
            raise ValueError("a tensor is empty")
        positions = {id(fact): position for position, fact in enumerate(facts)}
        for one in call.arguments:
            if one.fact.stats is not None:
                positions.setdefault(id(one.fact), len(places))
                places.append((0, 0))
        self._measured: Mapping[int, int] = positions
        self.pattern = Pattern(
            events, positions, places=len(places), time=call.began, outer=self._outer
        )  # fmt: skip

    def texts(self, call: Call) -> Sequence[bytes] | None:
        """Return the statistics of another call, arguments last; None if it is not like this one."""
        mine = self._call
        if call.position != mine.position or call.ints[: self._wholes].tobytes() != self._ints:
            return None
        given, its = call.arguments, mine.arguments
        same = len(given) == len(its) and all(map(is_, given, its))
        if not same and not self._fits(given):
            return None
        found: list[bytes] = []
        if not self._read(self._plan.slots, call.floats, found) or not self._read_whole(call.ints, found):
            return None
        found += [_encoder.encode(one.fact.stats) for one in call.arguments if one.fact.stats is not None]
        return found

    def _fits(self, given: Sequence[Made]) -> bool:
        """Whether other arguments differ from those of this call at most in what made them, and in numbers."""
        its = self._call.arguments
        if len(given) != len(its) or not all(map(_alike, given, its)):
            return False
        seqs = [one.seq for one in given if one.seq is not None]
        return [seqs.index(seq) for seq in seqs] == self._same

    def batch(self, sink: Sink, first: int, texts: Sequence[bytes], call: Call) -> Batch:
        """Return the events of that call."""
        outer = list(dict.fromkeys(one.seq for one in call.arguments if one.seq is not None))
        return self.pattern.again(first, sink.step, texts, time=call.began, outer=outer)

    def results(self, first: int, texts: Sequence[bytes], call: Call) -> list[Made]:
        """Return where the outputs of that call came from."""
        given = call.arguments
        return [
            self._moved(one, first, texts) if passed is None else given[passed]
            for one, passed in zip(self._results, self._passed, strict=True)
        ]

    def _moved(self, one: Made, first: int, texts: Sequence[bytes]) -> Made:
        if one.seq is None or one.seq < self._first:
            return one
        fact, shift = one.fact, first - self._first
        position = self._measured.get(id(fact))
        if position is not None:
            fact = replace(fact, stats=_stats.decode(texts[position]))
        if fact.alias_of is not None and fact.alias_of >= self._first:
            fact = replace(fact, alias_of=fact.alias_of + shift)
        return one._replace(fact=fact, seq=one.seq + shift)

    def _read_whole(self, ints: np.ndarray, found: list[bytes]) -> bool:
        """Read the whole numbers of a call; return whether it is like this one."""
        at = self._wholes
        for _, _, size in self._plan.slots.whole:
            stats = measured(ints[at : at + (size or MEASURES)], size)
            if stats is None:
                return False
            found.append(_encoder.encode(stats))
            at += size or MEASURES
        return True

    def _read(self, slots: Slots, floats: np.ndarray, found: list[bytes]) -> bool:
        """Read the summaries of a call; return whether it is like this one."""
        summary, singles = WIDTHS[self._level]
        count = len(slots.floats)
        second = count * summary
        end = second + count * singles
        if count:
            rows = floats[:second].reshape(count, summary)
            if rows[:, 2:].any():
                return False
            numbers = floats[second:end].reshape(count, singles)
            for row in range(count) if singles else ():
                fact = summed(_NOTHING, rows[row], numbers[row])
                if fact.stats is None or not rows[row, 1]:
                    return False
                found.append(_encoder.encode(fact.stats))
        if slots.elements:
            counts = [size for _, _, size in slots.elements]
            elements = floats[end : end + sum(counts)]
            texts = kernel.stats_texts(elements, array("q", counts).tobytes(), 0)
            if texts is None:
                return False
            found += texts
            end += sum(counts)
        return not slots.small or all_finite(floats[end:], "float32")


_NOTHING = TensorFact(None, "")


def _alike(one: Made, other: Made) -> bool:
    """Whether two arguments differ at most in the node that made them and in their statistics."""
    if one is other:
        return True
    mine, its = one.fact, other.fact
    return (
        (one.origin, one.output, one.name) == (other.origin, other.output, other.name)
        and (one.seq is None) == (other.seq is None)
        and (mine.shape, mine.dtype, mine.device, mine.finite) == (its.shape, its.dtype, its.device, its.finite)
        and mine.finite is not False
        and mine.alias_of is None
        and its.alias_of is None
        and mine.unchecked == its.unchecked
        and (mine.stats is None) == (its.stats is None)
    )  # fmt: skip
