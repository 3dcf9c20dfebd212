"""SeekingLog: a large log just written, read by bisection: who waits for a report can't wait for an index."""

from __future__ import annotations

import os
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast, overload

import msgspec

from graphdebug.log.codec import decode
from graphdebug.log.index import HEAD
from graphdebug.log.reader import LogFile
from graphdebug.log.unfolding import is_folded, unfold
from graphdebug.model.event import Event, Gradient, Node
from graphdebug.model.form import Form
from graphdebug.model.store import MemoryStore

__all__ = ["SeekingLog"]

E = TypeVar("E", bound=Event)

_BLOCK = 1 << 20
_NEAR = 1 << 16
"""Bytes down to which an offset is bisected."""
_FILLED = b'{"event":"filled"'
_ONE_OF_MANY = (b'{"event":"node"', b'{"event":"gradient"', _FILLED)
_MANY = (Node, Gradient)


class _Decoded(Sequence[Event]):
    """Events in lines of a log, decoded when they are looked at: so many at once take their time and memory."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return _Decoded(self._lines[index]) if isinstance(index, slice) else decode(self._lines[index])

    def __iter__(self) -> Iterator[Event]:
        return map(decode, self._lines)


class SeekingLog:
    """An `EventStore` of a log whose sequence numbers and steps rise, as one process writes them.

    Args:
        path: the log.
        others: its events that are neither nodes nor gradients, which the recorder remembers.
        forms: where in the file its forms are, by their numbers.

    """

    def __init__(self, path: Path, others: Sequence[Event], forms: Sequence[int] = ()) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        self.damage: Sequence[str] = ()
        self._others = MemoryStore(others)
        self._size = path.stat().st_size
        self._places = forms
        self._last: dict[int, bytes] = {}
        """The lines of the last events by number, once they were asked for: what looks at them asks for their
        inputs."""

    @cached_property
    def _whole(self) -> LogFile:
        """The log as read in whole, for questions that can't be answered otherwise."""
        return LogFile(self.path)

    @cached_property
    def _forms(self) -> dict[int, Form]:
        forms: dict[int, Form] = {}
        for place in self._places:
            unfold(next(self._lines_from(place)), forms)
        return forms

    def events(self) -> Sequence[Event]:
        """All events, in the order they were written."""
        return self._whole.events()

    def tail(self, count: int) -> Sequence[Event]:
        """The last `count` events, in order."""
        start, lines = self._size, 0
        while start > 0 and lines <= count:
            start, stop = max(0, start - _BLOCK), start
            lines += self._read(start, stop - start).count(b"\n")
        last: list[bytes] = []
        for line in reversed(self._read(start, self._size - start).split(b"\n")[:-1]):
            last[:0] = self._unfolded(line)
            if len(last) >= count:
                break
        last = last[-count:]
        self._last = {int(head[1]): line for line in last if (head := HEAD.match(line))}
        return _Decoded(last)

    def of_kind(self, kind: type[E]) -> Sequence[E]:
        """The events of one kind, in order."""
        return self._whole.of_kind(kind) if kind in _MANY else self._others.of_kind(kind)

    def of_step(self, kind: type[E], step: int) -> Sequence[E]:
        """The events of one kind and one step, in order."""
        if kind not in _MANY:
            return self._others.of_step(kind, step)
        found: list[Event] = []
        for first, lines in self._blocks(max(0, self._bisect(2, step) - _BLOCK)):
            at = [line for line in lines if (head := HEAD.match(line)) and head[2] and int(head[2]) == step]
            found += [decode(one) for line in at for one in self._unfolded(line)]
            if not at and first is not None and first > step:
                break
        return cast("list[E]", [one for one in found if type(one) is kind])

    def by_seq(self, seq: int) -> Event | None:
        """The event with this sequence number, or None."""
        other = self._others.by_seq(seq)
        if other is not None or seq in self._last:
            return other or decode(self._last[seq])
        start = max(0, self._bisect(1, seq) - _BLOCK)  # a batch is written later than it was numbered
        for line in self._read(start, 3 * _BLOCK).split(b"\n"):
            head = HEAD.match(line)
            if not head or int(head[1]) > seq or (int(head[1]) < seq and not line.startswith(_FILLED)):
                continue
            try:
                lines = self._unfolded(line)
                if seq - int(head[1]) < len(lines):
                    return decode(lines[seq - int(head[1])])
            except msgspec.DecodeError:  # longer than what was read
                return self._whole.by_seq(seq)
        return self._whole.by_seq(seq) if self._places else None

    def steps(self) -> Sequence[int]:
        """The steps that have nodes, rising."""
        return self._whole.steps()

    def rank_of(self, seq: int) -> int | None:
        """The rank that recorded this log, or None where there are no ranks."""
        return self._others.rank_of(seq)

    def _unfolded(self, line: bytes) -> Sequence[bytes]:
        """Return the lines that a line of the file stands for."""
        if not is_folded(line):
            return [line]
        full = unfold(line, self._forms)
        if full is None:  # longer than what was read
            raise msgspec.DecodeError(f"a run of form {line[:80]!r} can't be read")
        return full.split(b"\n") if full else []

    def _lines_from(self, start: int) -> Iterator[bytes]:
        for _, lines in self._blocks(start):
            yield from lines

    def _bisect(self, group: int, wanted: int) -> int:
        """Return an offset close before the first line whose number (1: seq, 2: step) is `wanted` or more."""
        return _NEAR * max(0, bisect_left(range(self._size // _NEAR), wanted, key=self._number_at(group)) - 1)

    def _number_at(self, group: int) -> Callable[[int], int]:
        def number(block: int) -> int:
            """Return the number of the first line that has one, from a block of the file on."""
            for at in range(block * _NEAR, self._size, _NEAR):
                for line in self._read(at, _NEAR).split(b"\n")[1:]:
                    head = HEAD.match(line) if line.startswith(_ONE_OF_MANY) else None
                    if head and head[group]:
                        return int(head[group])
            return 1 << 62

        return number

    def _blocks(self, start: int) -> Iterator[tuple[int | None, list[bytes]]]:
        """Yield the lines from `start` on, a block at a time, with the step that each block begins with."""
        rest = b""
        while start < self._size:
            lines = (rest + self._read(start, _BLOCK)).split(b"\n")
            start, rest = start + _BLOCK, lines.pop()
            heads = (head for line in lines if (head := HEAD.match(line)) and head[2])
            yield next((int(head[2]) for head in heads), None), lines

    def _read(self, start: int, length: int) -> bytes:
        return os.pread(self._file, length, start)
