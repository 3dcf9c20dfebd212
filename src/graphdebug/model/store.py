"""Stores: where the events of a run are, with the questions that every store answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar, cast, runtime_checkable

from graphdebug.model.event import Event, Node, RunStart

__all__ = ["EventStore", "MemoryStore", "TextSearch"]

E = TypeVar("E", bound=Event)


class EventStore(Protocol):
    """Where a run's events are: a list in memory or a file on disk, with the same questions answered."""

    @property
    def damage(self) -> Sequence[str]:
        """One line for each thing that could not be read."""
        ...

    def events(self) -> Sequence[Event]:
        """All events, in the order they were written."""
        ...

    def tail(self, count: int) -> Sequence[Event]:
        """The last `count` events, in order."""
        ...

    def of_kind(self, kind: type[E]) -> Sequence[E]:
        """The events of one kind, in order."""
        ...

    def of_step(self, kind: type[E], step: int) -> Sequence[E]:
        """The events of one kind and one step, in order."""
        ...

    def by_seq(self, seq: int) -> Event | None:
        """The event with this sequence number, or None."""
        ...

    def steps(self) -> Sequence[int]:
        """The steps that have nodes, rising."""
        ...

    def rank_of(self, seq: int) -> int | None:
        """The rank of the distributed job that recorded event `seq`, or None where there are no ranks."""
        ...


@runtime_checkable
class TextSearch(Protocol):
    """A store that can also find events by the text of their lines, without decoding the others."""

    def containing(self, kind: type[E], texts: Sequence[str]) -> Sequence[E]:
        """The events of one kind whose lines hold all of `texts`, in order."""
        ...

    def sifted(
        self, kind: type[E], texts: Sequence[str], fields: Collection[str], wants: Callable[[E], bool]
    ) -> Sequence[E | None]:
        """The events that `containing` gives, with None for those that `wants` refuses.

        Only `fields` of an event are decoded to ask `wants`, which must look at no others.
        """
        ...


class MemoryStore:
    """A run's events in a list."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self.damage: Sequence[str] = ()
        self._events: list[Event] = []
        self._by_seq: dict[int, Event] = {}
        self._by_kind: dict[type[Event], list[Event]] = {}
        self.write(events)

    def write(self, events: Sequence[Event]) -> None:
        """Append `events`."""
        self._events.extend(events)
        for event in events:
            self._by_seq[event.seq] = event
            self._by_kind.setdefault(type(event), []).append(event)

    def events(self) -> Sequence[Event]:
        """All events, in the order they were written."""
        return self._events

    def tail(self, count: int) -> Sequence[Event]:
        """The last `count` events, in order."""
        return self._events[-count:]

    def of_kind(self, kind: type[E]) -> Sequence[E]:
        """The events of one kind, in order."""
        return cast("list[E]", self._by_kind.get(kind, []))

    def of_step(self, kind: type[E], step: int) -> Sequence[E]:
        """The events of one kind and one step, in order."""
        return [event for event in self.of_kind(kind) if getattr(event, "step", None) == step]

    def by_seq(self, seq: int) -> Event | None:
        """The event with this sequence number, or None."""
        return self._by_seq.get(seq)

    def steps(self) -> Sequence[int]:
        """The steps that have nodes, rising."""
        return sorted({node.step for node in self.of_kind(Node)})

    def rank_of(self, seq: int) -> int | None:  # noqa: ARG002 - all events here are of one process
        """The rank that recorded these events, or None where there are no ranks."""
        return next((start.rank for start in self.of_kind(RunStart)), None)
