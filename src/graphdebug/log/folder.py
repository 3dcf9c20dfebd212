"""A folder of logs, one per rank of a distributed job, read as one store of events."""

from __future__ import annotations

import heapq
import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, overload

from graphdebug.errors import LogError
from graphdebug.log.reader import LogFile
from graphdebug.log.renumber import renumbered
from graphdebug.model.event import Event, RunStart

__all__ = ["LogFolder", "logs_of"]

E = TypeVar("E", bound=Event)

_RANK = re.compile(r"\.rank\d+$")


def logs_of(path: Path) -> list[Path]:
    """Return the logs that `path` stands for: those in a folder, or those of the ranks of a missing file.

    ``run.jsonl`` that a distributed job was told to record into stands for ``run.rank0.jsonl``,
    ``run.rank1.jsonl`` ... A file stands for itself.
    """
    if path.is_dir():
        return sorted(one for one in path.iterdir() if one.is_file() and _is_log(one))
    if path.exists():
        return [path]
    return sorted(one for one in path.parent.glob(f"{path.stem}.rank*{path.suffix}") if _RANK.search(one.stem))


class LogFolder:
    """The logs of all ranks as one run.

    Numbers are made unique: event ``s`` of the i-th of n logs is event ``s * n + i`` here, and so is
    every reference to it. Events of one rank keep their order; ranks are interleaved by number.

    Args:
        paths: one log per rank, of one launch.
        name: the folder, for messages.

    Raises:
        LogError: there are no logs, or they are not ranks of one run.

    """

    def __init__(self, paths: Sequence[Path], name: str | os.PathLike[str]) -> None:
        if not paths:
            example = os.path.join(name, "run.jsonl")
            raise LogError(f"there are no logs in {name}: record into it with graphdebug.record({example!r})")
        opened = sorted((_rank_of(log), index, log) for index, log in enumerate(map(LogFile, paths)))
        self.path = Path(name)
        self._damage: list[str] = []
        self._files = _one_launch([log for _, _, log in opened], name, self._damage)
        self._ranks = [_start(log).rank for log in self._files]

    @property
    def damage(self) -> Sequence[str]:
        """One line for each thing that could not be read, and one for each missing rank."""
        return [*self._damage, *(line for file in self._files for line in file.damage)]

    def events(self) -> Sequence[Event]:
        """All events, those of a rank in the order they were written."""
        return self._merged(lambda file: file.events())

    def tail(self, count: int) -> Sequence[Event]:
        """The last `count` events, in order."""
        return self.events()[-count:]

    def of_kind(self, kind: type[E]) -> Sequence[E]:
        """The events of one kind, those of a rank in order."""
        return self._merged(lambda file: file.of_kind(kind))

    def of_step(self, kind: type[E], step: int) -> Sequence[E]:
        """The events of one kind and one step, those of a rank in order."""
        return self._merged(lambda file: file.of_step(kind, step))

    def by_seq(self, seq: int) -> Event | None:
        """The event with this sequence number, or None."""
        own, index = divmod(seq, len(self._files))
        event = self._files[index].by_seq(own)
        return None if event is None else renumbered(event, len(self._files), index)

    def steps(self) -> Sequence[int]:
        """The steps that have nodes on any rank, rising."""
        return sorted({step for file in self._files for step in file.steps()})

    def rank_of(self, seq: int) -> int | None:
        """The rank that recorded event `seq`."""
        return self._ranks[seq % len(self._files)]

    def _merged(self, part: Callable[[LogFile], Sequence[E]]) -> Sequence[E]:
        return _Merged([part(file) for file in self._files])


class _Merged(Sequence[E]):
    """Events of several logs, interleaved by their new numbers, decoded when they are asked for."""

    def __init__(self, parts: Sequence[Sequence[E]]) -> None:
        self._parts = parts
        self._places: tuple[array[int], array[int]] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[E]:
        return heapq.merge(*map(self._renumbered, range(len(self._parts))), key=lambda event: event.seq)

    @overload
    def __getitem__(self, index: int) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[E]: ...
    def __getitem__(self, index: int | slice) -> E | Sequence[E]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, position = (column[index] for column in self._order())
        return renumbered(self._parts[part][position], len(self._parts), part)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _renumbered(self, part: int) -> Iterable[E]:
        return (renumbered(event, len(self._parts), part) for event in self._parts[part])

    def _keys(self, part: int) -> Iterator[tuple[int, int, int]]:
        count = len(self._parts)
        return ((one.seq * count + part, part, at) for at, one in enumerate(self._parts[part]))

    def _order(self) -> tuple[array[int], array[int]]:
        """Where the i-th event of all is: which part, and its position there."""
        if self._places is None:
            self._places = array("I"), array("Q")
            for _, part, position in heapq.merge(*map(self._keys, range(len(self._parts)))):
                self._places[0].append(part)
                self._places[1].append(position)
        return self._places


def _one_launch(files: list[LogFile], name: object, damage: list[str]) -> list[LogFile]:
    """Return the files of one launch, one a rank; an older launch's leftovers are passed over and named."""
    starts = {id(file): _start(file) for file in files}
    newest = max(files, key=lambda file: starts[id(file)].started)
    world = starts[id(newest)].world_size
    kept = [file for file in files if starts[id(file)].world_size == world]
    for file in files:
        if file not in kept:
            theirs = starts[id(file)].world_size
            damage.append(f"{file.path} was left out: of another launch (world size {theirs}, not {world})")
    ranks = [starts[id(file)].rank for file in kept]
    if len(set(ranks)) < len(ranks):
        names = ", ".join(file.path.name for file in kept[:4]) + (", ..." if len(kept) > 4 else "")
        raise LogError(f"{name} holds more than one run ({names}): give one of these files")
    missing = sorted(set(range(world or 0)) - {rank for rank in ranks if rank is not None})
    if missing:
        damage.append(f"{name}: there is no log of rank {', '.join(map(str, missing))} of {world}")
    return kept


def _start(file: LogFile) -> RunStart:
    return file.of_kind(RunStart)[0]


def _rank_of(file: LogFile) -> int:
    rank = _start(file).rank
    return -1 if rank is None else rank


def _is_log(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(14) == b'{"event":"run"'
    except OSError:
        return False
