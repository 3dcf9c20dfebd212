"""Batch: events that know their own lines of the log, and become structs only where somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from graphdebug.model.event import Event
from graphdebug.model.form import Form

__all__ = ["Batch", "Filled"]


class Batch(Sequence[Event]):
    """Some events of one run, in order. A log file takes `lines`; memory and watchers take the events.

    Args:
        count: how many events.
        build: makes the events; called once, if at all.
        render: makes their lines, exactly as the log's encoder would, without a last newline.

    """

    __slots__ = ("_build", "_count", "_events", "_render")

    def __init__(self, count: int, build: Callable[[], Sequence[Event]], render: Callable[[], bytes]) -> None:
        self._count = count
        self._build = build
        self._render = render
        self._events: Sequence[Event] | None = None

    def lines(self) -> bytes:
        """Return the events as lines of the log, without a last newline."""
        return self._render()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, position: int) -> Event: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Event]: ...
    def __getitem__(self, position: int | slice) -> Event | Sequence[Event]:
        return self._made()[position]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._made())

    def _made(self) -> Sequence[Event]:
        if self._events is None:
            self._events = self._build()
        return self._events


class Filled(Batch):
    """Events whose lines are a form, filled in; a log that holds the form takes what is filled in alone.

    Args:
        form: others fill it in, too.
        first: the first sequence number.
        step: the step of all of them.
        texts: what goes into the form's gaps for texts.
        build: makes the events; called once, if at all.

    """

    __slots__ = ("first", "form", "step", "texts")

    def __init__(
        self, form: Form, first: int, step: int, texts: Sequence[bytes], build: Callable[[], Sequence[Event]]
    ) -> None:
        self._count = form.count
        self._build = build
        self._events = None
        self.form = form
        self.first = first
        self.step = step
        self.texts = texts

    def lines(self) -> bytes:
        """Return the events as lines of the log, without a last newline."""
        return self.form.fill(self.first, self.step, self.texts)
