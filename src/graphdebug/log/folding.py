"""Folding: runs that fill in one form are written as what they filled in, once the log holds the form.

A log of a static graph would else say the same nodes of every step in the same words: 54 kB for 71 nodes, where
200 bytes say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import msgspec

from graphdebug.log.codec import encode
from graphdebug.model.batch import Filled
from graphdebug.model.event import Event
from graphdebug.model.form import Form

__all__ = ["Folding", "FormLine", "RunLine"]

_IN_FULL = 2
"""Runs that are written in full before their form is: a short log reads as it always did."""


class FormLine(msgspec.Struct, tag_field="event", tag="form"):
    """The line of a form; `lines` has U+0000 for gaps."""

    form: int
    lines: str
    gaps: list[int]


class RunLine(msgspec.Struct, tag_field="event", tag="filled"):
    """The line of a run that filled in a form: `form` has its number."""

    seq: int
    step: int
    form: int
    texts: list[msgspec.Raw]


_encoder = msgspec.json.Encoder()


class Folding:
    """The forms that one log holds."""

    def __init__(self) -> None:
        self._uses: WeakKeyDictionary[Form, int] = WeakKeyDictionary()
        self._numbers: WeakKeyDictionary[Form, int] = WeakKeyDictionary()
        self.places: list[int] = []
        """Where in the log each form is, by its number."""

    def encode(self, events: Sequence[Event], place: int) -> bytes:
        """Return `events` as lines of the log, without a last newline; the first will be at `place`."""
        if not isinstance(events, Filled):
            return encode(events)
        form = events.form
        number = self._numbers.get(form)
        if number is not None:
            return _folded(events, number)
        uses = self._uses[form] = self._uses.get(form, 0) + 1
        if uses <= _IN_FULL:
            return encode(events)
        number = self._numbers[form] = len(self.places)
        self.places.append(place)
        line = FormLine(number, form.lines.decode(), list(form.gaps))
        return _encoder.encode(line) + b"\n" + _folded(events, number)


def _folded(filled: Filled, number: int) -> bytes:
    return b'{"event":"filled","seq":%d,"step":%d,"form":%d,"texts":[%b]}' % (
        filled.first, filled.step, number, b",".join(filled.texts),
    )  # fmt: skip
