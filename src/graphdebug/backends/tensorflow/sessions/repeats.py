"""A run that is like one before it: which of its numbers are new, and the events that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from graphdebug.backends.pattern import Pattern
from graphdebug.backends.tensorflow.packs import Place
from graphdebug.backends.tensorflow.sessions.probed import Measured, Probed
from graphdebug.model.event import Gradient, Node, Shape, TensorFact

__all__ = ["Repeat"]

_encoder = msgspec.json.Encoder()


class Repeat:
    """A run of a plan, as a pattern for those like it.

    Args:
        probed: the plan.
        shapes: inferred, of the run's feeds.
        events: what the run gave: nodes, then gradients, numbered without gaps.
        facts: what was measured in it, by place.
        fetched: what its probes gave.
        before: what was seen before the run.

    """

    def __init__(
        self,
        probed: Probed,
        shapes: Mapping[str, Sequence[Shape | None]],
        events: Sequence[Node | Gradient],
        facts: Mapping[Place, TensorFact],
        fetched: Sequence[Any],
        before: Any,
    ) -> None:
        self._probed = probed
        self._shapes = shapes
        self._sums = probed.level == "stats"
        self._counts = [probed.counts(pack, shapes) for pack in probed.packs]
        self._numbers = b"" if self._sums else _bytes(probed, fetched, before)
        self._lean = {place: _lean(fact) for place, fact in facts.items()}
        self._finite = [all(facts[place].finite is not False for place in pack.places) for pack in probed.packs]
        order = [(one.node, one.output) for one in (*probed.measured, *probed.before)] if self._sums else []
        order += [place for number in range(len(probed.packs)) for place in self._told(number)]
        texts = [(position, facts[place]) for position, place in enumerate(order)]
        measured = {id(fact): position for position, fact in texts if fact.stats is not None}
        self.pattern = Pattern(events, measured, places=len(texts))

    def texts(self, fetched: Sequence[Any], before: Any) -> Sequence[bytes] | None:
        """Return the statistics of another run of the plan; None if it is not like this one."""
        packs, measuring = self._probed.packs, (self._probed.measured, self._probed.before)
        if not self._sums and self._numbers != _bytes(self._probed, fetched, before):
            return None
        found: list[bytes] = []
        for measured, numbers in zip(measuring, (fetched[:1], [before]), strict=True):
            if self._sums and measured and not self._decoded(measured, numbers[0], found):
                return None
        for number, (pack, counts) in enumerate(zip(packs, self._counts, strict=True)):
            numbers = fetched[pack.position]
            some = pack.texts(numbers, counts) if self._finite[number] else self._not_finite(number, numbers)
            if some is None:
                return None
            found += some
        return found

    def _told(self, number: int) -> list[Place]:
        """Return the tensors of a pack whose statistics are told; at level health, all if one has NaN in it."""
        pack = self._probed.packs[number]
        return pack.places if self._sums or not self._finite[number] else pack.places[: pack.valued]

    def _not_finite(self, number: int, numbers: np.ndarray) -> list[bytes] | None:
        """Return the statistics of a pack in which the same tensors are not finite; None if they are others."""
        facts = self._probed.unpacked(self._probed.packs[number], numbers, self._shapes)
        if any(_lean(fact) != self._lean[place] for place, fact in facts.items()):
            return None
        return [_text(facts[place]) for place in self._told(number)]

    def _decoded(self, measured: Sequence[Measured], numbers: np.ndarray, found: list[bytes]) -> bool:
        facts = self._probed.decode(measured, numbers, self._shapes)
        found += map(_text, facts.values())
        return all(_lean(fact) == self._lean[place] for place, fact in facts.items())


def _lean(fact: TensorFact) -> tuple[Any, ...]:
    """Return what of a fact an operand repeats: if it is the same, so are the operands."""
    return fact.shape, fact.finite, fact.stats is None


def _text(fact: TensorFact) -> bytes:
    return b"{}" if fact.stats is None else _encoder.encode(fact.stats)


def _bytes(probed: Probed, fetched: Sequence[Any], before: Any) -> bytes:
    numbers = fetched[0].tobytes() if probed.measured else b""
    return bytes(numbers if before is None else numbers + before.tobytes())
