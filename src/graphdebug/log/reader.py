"""Reading a log: an indexed file whose events are decoded when they are asked for."""

from __future__ import annotations

import mmap
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar, overload

import msgspec

from graphdebug.errors import LogError
from graphdebug.log.codec import KINDS, decode
from graphdebug.model.event import SCHEMA_VERSION, Event, Node, RunStart

__all__ = ["LogFile"]

E = TypeVar("E", bound=Event)

_HEAD = re.compile(rb'\{"event":"(\w+)","seq":(\d+)(?:,"step":(\d+))?')
_NO_STEP = -1


class LogFile:
    """A log on disk. Opening it finds the lines; an event is decoded each time it is asked for.

    Args:
        path: the log file.

    Raises:
        LogError: there is no such file, it is empty, or it is not a log of ours.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.damage: list[str] = []
        self._data = _map(self.path)
        self._offsets = array("Q")
        self._kinds: list[str] = []
        self._seqs = array("q")
        self._steps = array("q")
        self._index()

    def events(self) -> Sequence[Event]:
        """All events, in the order they were written."""
        return _Lines(self, range(len(self._kinds)))

    def of_kind(self, kind: type[E]) -> Sequence[E]:
        """The events of one kind, in order."""
        tag = str(kind.__struct_config__.tag)
        return _Lines(self, [i for i, one in enumerate(self._kinds) if one == tag])

    def of_step(self, kind: type[E], step: int) -> Sequence[E]:
        """The events of one kind and one step, in order."""
        tag = str(kind.__struct_config__.tag)
        steps = self._steps
        return _Lines(self, [i for i, one in enumerate(self._kinds) if one == tag and steps[i] == step])

    def by_seq(self, seq: int) -> Event | None:
        """The event with this sequence number, or None."""
        index = self._line_of_seq(seq)
        return None if index is None else self.decode_line(index)

    def steps(self) -> Sequence[int]:
        """The steps that have nodes, rising."""
        tag = str(Node.__struct_config__.tag)
        return sorted({step for step, one in zip(self._steps, self._kinds, strict=True) if one == tag})

    def rank_of(self, seq: int) -> int | None:  # noqa: ARG002 - a file holds one rank's events
        """The rank that recorded this file, or None where there are no ranks."""
        return self.of_kind(RunStart)[0].rank

    def decode_line(self, index: int) -> Event | None:
        """Return the event on the index-th readable line, or None (and a line of damage) if it is corrupt."""
        start = self._offsets[index]
        end = self._data.find(b"\n", start)
        line = self._data[start : end if end != -1 else len(self._data)]
        try:
            return decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._report(f"{self.path}: an event could not be read at byte {start}: {error}")
            return None

    def _line_of_seq(self, seq: int) -> int | None:
        if not hasattr(self, "_order"):
            pairs = sorted(zip(self._seqs, range(len(self._seqs)), strict=True))
            self._order = array("q", (pair[0] for pair in pairs)), array("q", (pair[1] for pair in pairs))
        seqs, lines = self._order
        at = bisect_left(seqs, seq)
        return lines[at] if at < len(seqs) and seqs[at] == seq else None

    def _report(self, text: str) -> None:
        if text not in self.damage:
            self.damage.append(text)

    def _index(self) -> None:
        data, size = self._data, len(self._data)
        start, number, unreadable = 0, 0, 0
        while start < size:
            end = data.find(b"\n", start)
            number += 1
            if end == -1:
                self._last_line(start, number)
                break
            if not self._index_line(start):
                unreadable += 1
                if unreadable == 1:
                    first = number
            start = end + 1
        if unreadable:
            self._report(
                f"{self.path}: {unreadable} lines are not events (the first is line {first}); the rest was read"
            )
        self._check_start()

    def _index_line(self, start: int) -> bool:
        head = _HEAD.match(self._data, start)
        if head is None or (tag := head[1].decode()) not in KINDS:
            return False
        self._offsets.append(start)
        self._kinds.append(KINDS_INTERNED[tag])
        self._seqs.append(int(head[2]))
        self._steps.append(int(head[3]) if head[3] is not None else _NO_STEP)
        return True

    def _last_line(self, start: int, number: int) -> None:
        """A line without its newline was cut off mid-write, unless it decodes whole."""
        try:
            decode(self._data[start:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._report(
                f"{self.path}: line {number} is cut off (the writer was stopped); all before it was read"
            )
        else:
            self._index_line(start)

    def _check_start(self) -> None:
        if not self._kinds or self._kinds[0] != "run":
            raise LogError(f"{self.path} is not a graphdebug log: its first line is not a `run` event")
        version = re.search(
            rb'"schema":(\d+)', self._data[: self._offsets[1] if len(self._offsets) > 1 else None]
        )
        found = int(version[1]) if version else 0
        if found > SCHEMA_VERSION:
            self._report(
                f"{self.path} has format {found}, this graphdebug reads up to {SCHEMA_VERSION}: "
                "upgrade with `pip install -U graphdebug`; what could be read is shown"
            )


KINDS_INTERNED = {tag: tag for tag in KINDS}


class _Lines(Sequence[E]):
    """Some lines of a log, decoded on access. Lines that turn out corrupt are passed over in iteration."""

    def __init__(self, file: LogFile, indices: Sequence[int]) -> None:
        self._file = file
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[E]: ...
    def __getitem__(self, index: int | slice) -> E | Sequence[E]:
        if isinstance(index, slice):
            return _Lines(self._file, self._indices[index])
        event = self._file.decode_line(self._indices[index])
        if event is None:
            raise LogError(self._file.damage[-1])
        return event  # type: ignore[return-value]

    def __iter__(self) -> Iterator[E]:
        for index in self._indices:
            event = self._file.decode_line(index)
            if event is not None:
                yield event  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise LogError(f"{path} is empty: the recording never started, or it is not a graphdebug log")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except LogError:
        raise
    except FileNotFoundError as error:
        raise LogError(
            f"there is no log at {path}: record one with graphdebug.record({str(path)!r})"
        ) from error
    except OSError as error:
        raise LogError(f"can't read the log {path}: {error.strerror or error}") from error
