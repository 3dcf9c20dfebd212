"""Reading a log: an indexed file whose events are decoded when they are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec

from graphdebug.errors import LogError
from graphdebug.log.codec import decode, outline
from graphdebug.log.index import CORRUPT, UNREADABLE, LineIndex
from graphdebug.model.event import SCHEMA_VERSION, Event, Gradient, Node, RunStart

__all__ = ["LogFile"]

E = TypeVar("E", bound=Event)


class LogFile:
    """A log on disk. Opening it finds the lines; an event is decoded each time it is asked for.

    Args:
        path: the log file.

    Raises:
        LogError: there is no such file, it is empty, or it is not a log of ours.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._index = _open(self.path)
        self._index.extend()
        self._damage: list[str] = []
        self._torn = self._index.is_torn and not self._index.add_last()
        self._newer = _newer_format(self.path, self._index)
        self._check()
        self._rank = next((start.rank for start in self.of_kind(RunStart)), None)

    @property
    def damage(self) -> Sequence[str]:
        """One line for each thing that could not be read."""
        unreadable = self._index.kinds.count(UNREADABLE)
        lines = [self._newer] if self._newer else []
        if unreadable:
            first = self._index.text.file_line(self._index.kinds.index(UNREADABLE)) + 1
            lines.append(
                f"{self.path}: {_counted(unreadable)} not {'an event' if unreadable == 1 else 'events'} "
                f"(the first is line {first}); the rest was read"
            )
        if self._torn:
            number = self._index.text.file_lines + 1
            lines.append(
                f"{self.path}: line {number} is cut off (the writer was stopped); all before it was read"
            )
        return [*lines, *self._damage]

    def _check(self) -> None:
        """Find corrupt lines at once: all of a small log, all but nodes and gradients of a large one."""
        kinds = self._index.kinds
        many = (self._index.code(_tag(Node)), self._index.code(_tag(Gradient)))
        small = len(kinds) <= _SMALL
        numbers = [n for n, kind in enumerate(kinds) if kind < CORRUPT and (small or kind not in many)]
        for number, line in self._index.lines(numbers):
            self.decode(number, line)

    def refresh(self) -> bool:
        """Read what a running program has appended; return whether there was anything."""
        before = len(self._index.kinds)
        self._index.extend()
        self._torn = self._index.is_torn
        return len(self._index.kinds) > before

    def events(self) -> Sequence[Event]:
        """All events, in the order they were written."""
        kinds = self._index.kinds
        if UNREADABLE not in kinds and CORRUPT not in kinds:
            return _Lines(self, range(len(kinds)))
        return _Lines(self, [number for number, kind in enumerate(kinds) if kind < CORRUPT])

    def tail(self, count: int) -> Sequence[Event]:
        """The last `count` events, in order."""
        return self.events()[-count:]

    def of_kind(self, kind: type[E]) -> Sequence[E]:
        """The events of one kind, in order."""
        return _Lines(self, self._index.of_kind(_tag(kind)))

    def of_step(self, kind: type[E], step: int) -> Sequence[E]:
        """The events of one kind and one step, in order."""
        return _Lines(self, self._index.of_step(_tag(kind), step))

    def by_seq(self, seq: int) -> Event | None:
        """The event with this sequence number, or None."""
        number = self._index.line_of_seq(seq)
        return None if number is None else self.decode_line(number)

    def steps(self) -> Sequence[int]:
        """The steps that have nodes, rising."""
        return self._index.steps(_tag(Node))

    def rank_of(self, seq: int) -> int | None:  # noqa: ARG002 - a file holds one rank's events
        """The rank that recorded this file, or None where there are no ranks."""
        return self._rank

    def containing(self, kind: type[E], texts: Sequence[str]) -> Sequence[E]:
        """The events of one kind whose lines hold all of `texts`, found without decoding the others."""
        if not texts:
            return self.of_kind(kind)
        return _Lines(self, self._index.containing(_tag(kind), [text.encode() for text in texts]))

    def sifted(
        self, kind: type[E], texts: Sequence[str], fields: Collection[str], wants: Callable[[E], bool]
    ) -> Sequence[E | None]:
        """The events that `containing` gives, with None for those that `wants` refuses by their `fields`."""
        numbers = self._index.of_kind(_tag(kind))
        if texts:
            numbers = self._index.containing(_tag(kind), [text.encode() for text in texts])
        return _Sifted(self, numbers, outline(kind, fields), wants)

    def decode_line(self, number: int) -> Event | None:
        """Return the event on a line, or None (and a line of damage) if it is corrupt."""
        return self.decode(number, self._index.line(number))

    def decode(self, number: int, line: bytes) -> Event | None:
        """Return the event that is `line`, or None (and a line of damage) if it is corrupt."""
        try:
            return decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._corrupted(number, str(error))
            return None

    def lines(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the numbers and bytes of some lines."""
        return self._index.lines(numbers)

    def _corrupted(self, number: int, why: str) -> None:
        if self._index.kinds[number] == CORRUPT:
            return
        self._index.kinds[number] = CORRUPT
        corrupt = self._index.kinds.count(CORRUPT)
        if corrupt <= _MOST_REPORTED:
            line = self._index.text.file_line(number) + 1
            self._damage.append(f"{self.path}, line {line}: an event could not be read: {why}")
        elif corrupt == _MOST_REPORTED + 1:
            self._damage.append(f"{self.path}: more events could not be read")


_MOST_REPORTED = 5
_SMALL = 20_000
"""Lines up to which a log is checked whole when it is opened (0.1 s)."""


class _Lines(Sequence[E]):
    """Some lines of a log, decoded on access.

    Lines that turn out corrupt are passed over in iteration; by index the nearest readable one stands in.
    """

    def __init__(self, file: LogFile, numbers: Sequence[int]) -> None:
        self._file = file
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[E]: ...
    def __getitem__(self, index: int | slice) -> E | Sequence[E]:
        if isinstance(index, slice):
            return _Lines(self._file, self._numbers[index])
        number = self._numbers[index]
        event = self._file.decode_line(number) or self._nearest(number)
        if event is None:
            raise LogError(self._file.damage[-1])
        return event  # type: ignore[return-value]

    def __iter__(self) -> Iterator[E]:
        decode_line = self._file.decode
        for number, line in self._file.lines(self._numbers):
            event = decode_line(number, line)
            if event is not None:
                yield event  # type: ignore[misc]

    def _nearest(self, corrupt: int) -> Event | None:
        others = sorted(self._numbers, key=lambda number: abs(number - corrupt))
        return next((event for number in others if (event := self._file.decode_line(number)) is not None), None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class _Sifted(_Lines[E]):
    """Lines of which only those that an outline lets through are decoded; None stands for the others."""

    def __init__(
        self,
        file: LogFile,
        numbers: Sequence[int],
        sketch: Callable[[bytes], Any],
        wants: Callable[[Any], bool],
    ) -> None:
        super().__init__(file, numbers)
        self._sketch = sketch
        self._wants = wants

    def __iter__(self) -> Iterator[E | None]:  # type: ignore[override] # that is what it is for
        sketch, wants = self._sketch, self._wants
        for number, line in self._file.lines(self._numbers):
            try:
                wanted = wants(sketch(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                wanted = True
            yield self._file.decode(number, line) if wanted else None  # type: ignore[misc]


def _tag(kind: type[Event]) -> str:
    return str(kind.__struct_config__.tag)


def _counted(lines: int) -> str:
    return "1 line is" if lines == 1 else f"{lines} lines are"


def _newer_format(path: Path, index: LineIndex) -> str:
    """A line of damage where the log is of a newer format; LogError where it is no log of ours."""
    if not index.kinds or index.line(0)[:14] not in (b'{"event":"run"', b'{"event": "run'):
        raise LogError(f"{path} is not a graphdebug log: its first line is not a `run` event")
    version = re.search(rb'"schema": ?(\d{1,9})', index.line(0))
    found = int(version[1]) if version else 0
    if found <= SCHEMA_VERSION:
        return ""
    return (
        f"{path} has format {found}, this graphdebug reads up to {SCHEMA_VERSION}: "
        "upgrade with `pip install -U graphdebug`; what could be read is shown"
    )


def _open(path: Path) -> LineIndex:
    try:
        index = LineIndex(path)
        if not index.size:
            raise LogError(f"{path} is empty: the recording never started, or it is not a graphdebug log")
    except LogError:
        raise
    except FileNotFoundError as error:
        raise LogError(
            f"there is no log at {path}: record one with graphdebug.record({str(path)!r})"
        ) from error
    except OSError as error:
        raise LogError(f"can't read the log {path}: {error.strerror or error}") from error
    return index
