"""The recorder: what backends write to. It numbers events and steps and puts them into the log."""

from __future__ import annotations

import linecache
import os
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count, islice
from typing import Literal, Protocol

import msgspec

from graphdebug.backends.protocol import Elements
from graphdebug.errors import GraphDebugWarning
from graphdebug.model.batch import Batch
from graphdebug.model.event import (
    End,
    Event,
    Gradient,
    Node,
    Notice,
    Operand,
    Phase,
    Source,
    ToolError,
)
from graphdebug.model.site import SiteFinder

__all__ = ["Log", "Recorder"]

_LARGEST_SOURCE = 2_000_000
"""Characters of a source file that are kept in the log; a larger file is not kept."""
_OFTEN = 0.05
"""Seconds between two times that all held back is written, where steps are shorter."""


class Log(Protocol):
    """Where a recorder puts events: memory, a file, or a flight recorder before either."""

    def write(self, events: Sequence[Event]) -> None:
        """Append `events`; raises OSError if they can't be written."""
        ...


class Tensors(Protocol):
    """Where a recorder saves whole tensors."""

    room: int
    """Bytes that may still be saved."""

    def save(self, seq: int, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> dict[str, str]:
        """Save dtype, shape and elements by key for event `seq`; return where those saved lie. May raise."""
        ...


class Recorder:
    """The `Sink` of one recording.

    Args:
        log: where events go.
        drain: makes the backends emit all they hold back; called when a step ends, but not for each of many
            short ones.
        every: record every N-th step.
        target: the log's path in words, for warnings.
        tensors: where operands of failing calls are saved, None to save none.

    """

    def __init__(
        self, log: Log, drain: Callable[[], None], *, every: int, target: str, tensors: Tensors | None = None
    ) -> None:
        self.sites = SiteFinder(self._keep_source)
        self.step = 0
        self.recording = True
        self.phase: Phase | None = None
        self.module = ""
        self.written = 0
        self._log = log
        self._tensors = tensors
        self._drain = drain
        self._every = every
        self._target = target
        self._began = time.perf_counter()
        self._drained = 0.0
        self.whole_steps = hasattr(log, "dump")
        self._lock = threading.RLock()
        self._muted = self._warned = self._user_marks_steps = False
        self._seqs = count()
        self.others: list[Event] = []
        """The events that are neither nodes nor gradients: few, and what an explanation begins with."""
        self.next_seq: Callable[[], int] = self._seqs.__next__
        _alive.add(self)

    def next_seqs(self, count: int) -> int:
        """Take `count` numbers in a row, which no other thread can break; return the first."""
        return deque(islice(self._seqs, count), maxlen=1)[0] - count + 1

    def now(self) -> float:
        """Seconds since the run started."""
        return time.perf_counter() - self._began

    def emit(self, events: Sequence[Event]) -> None:
        """Write events. A log that can't be written is one warning, and the run goes on unrecorded."""
        if self._muted or not events:
            return
        with self._lock:
            self.written += len(events)
            if not isinstance(events, Batch):
                self.others += [one for one in events if type(one) is not Node and type(one) is not Gradient]
            try:
                self._log.write(events)
            except OSError as error:
                self._give_up(error)

    def save(
        self, seq: int, operands: Sequence[Operand], elements: Sequence[Elements | None]
    ) -> tuple[Operand, ...]:
        """Save the operands of a failing call; what can't be saved is a notice."""
        if self._tensors is None or self._muted or len(elements) != len(operands):
            return tuple(operands)
        held = [one if _is_of(one, operand) else None for one, operand in zip(elements, operands, strict=True)]
        try:
            chosen, keys = _fitting(operands, held, self._tensors.room)
            places = self._tensors.save(seq, chosen) if chosen else {}
        except ImportError:
            self._not_saved("install what saves them with pip install 'graphdebug[safetensors]'")
            return tuple(operands)
        except Exception as error:
            self._not_saved(f"{type(error).__name__}: {error}")
            return tuple(operands)
        large = sum(one is not None for one in held) - len(chosen)
        if large:
            self._not_saved("64 MB is the most that is saved", f"{large} of {len(operands)} operands")
        unknown = sorted({dtype for key, (dtype, _, _) in chosen.items() if key not in places})
        if unknown:
            self._not_saved(f"safetensors has no word for {', '.join(unknown)}", "operands")
        return tuple(
            _saved(operand, places[key]) if key in places else operand
            for operand, key in zip(operands, keys, strict=True)
        )

    def advance_step(self) -> None:
        """A backend saw a step end. Counts, unless the user marks steps."""
        if not self._user_marks_steps:
            self._end_step()

    def mark_step(self) -> None:
        """The user says that a step ended; from now on only the user's word counts."""
        self._user_marks_steps = True
        self._end_step()

    def tool_error(self, where: str, error: BaseException) -> None:
        """Log a `tool_error` and warn once a recording."""
        text = "".join(traceback.format_exception(error))
        self.emit([ToolError(self.next_seq(), where, f"{type(error).__name__}: {error}", text)])
        self.warn(f"graphdebug failed in {where} ({type(error).__name__}: {error}); your program goes on")

    def warn(self, text: str) -> None:
        """Warn the user, once a recording."""
        if not self._warned:
            self._warned = True
            try:
                warnings.warn(text, GraphDebugWarning, stacklevel=3)
            except GraphDebugWarning:
                if _asked_to_raise():
                    raise
                print(text, file=sys.stderr)

    @property
    def forms(self) -> Sequence[int]:
        """Where in its file the log's forms are, by their numbers."""
        found: Sequence[int] = getattr(self._log, "forms", ())
        return found

    def flush(self) -> None:
        """Write what the log holds back, if it does."""
        flush = getattr(self._log, "flush", None)
        if flush is not None and not self._muted:
            with self._lock:
                self._try(flush)

    def dump(self) -> None:
        """Write out what a flight recorder holds; without one all is written already."""
        hold = getattr(self._log, "dump", None)
        if hold is not None:
            self._try(hold)

    def close(self, status: Literal["completed", "failed", "interrupted", "exited"]) -> None:
        """Write the last line and close the log."""
        if status in ("failed", "interrupted"):
            self.dump()
        self.emit([End(self.next_seq(), status, self.step + 1, self.written + 1, round(self.now(), 6))])
        close = getattr(self._log, "close", None)
        if close is not None:
            self._try(close)
        self.mute()

    def mute(self) -> None:
        """Write nothing more: the log is closed, broken, or belongs to the parent process."""
        self._muted = True
        self.recording = False

    def _not_saved(self, reason: str, what: str = "the operands") -> None:
        text = f"{what} of the failing call were not saved: {reason}"
        self.emit([Notice(self.next_seq(), "tensors", text)])

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.mute()
        reason = error.strerror or str(error)
        self.warn(
            f"graphdebug can't write {self._target} any more ({reason}); your program goes on, unrecorded"
        )

    def _end_step(self) -> None:
        if self.whole_steps or self.now() - self._drained > _OFTEN:
            self._drain()
            self._drained = self.now()
        self.step += 1
        self.recording = not self._muted and self.step % self._every == 0

    def _keep_source(self, file: str) -> None:
        text = "".join(linecache.getlines(file))
        if text and len(text) <= _LARGEST_SOURCE:
            self.emit([Source(self.next_seq(), file, text)])


def _fitting(
    operands: Sequence[Operand], elements: Sequence[Elements | None], room: int
) -> tuple[dict[str, tuple[str, tuple[int, ...], bytes]], list[str | None]]:
    """Read the elements that fit into `room` bytes; return them by key, and each operand's key."""
    chosen: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    keys: list[str | None] = []
    for operand, one in zip(operands, elements, strict=True):
        if one is None or one.size > room:
            keys.append(None)
            continue
        word = operand.role or "operand"
        key = word if word not in chosen else f"{word}_{len(keys)}"
        chosen[key] = (one.dtype, one.shape, one.read())
        keys.append(key)
        room -= one.size
    return chosen, keys


def _is_of(elements: Elements | None, operand: Operand) -> bool:
    """Whether these are there and are the operand's: a variable is not what was read from it."""
    fact = operand.fact
    return elements is not None and (elements.shape, elements.dtype) == (fact.shape, fact.dtype)


def _saved(operand: Operand, place: str) -> Operand:
    return msgspec.structs.replace(operand, fact=msgspec.structs.replace(operand.fact, saved=place))


def _asked_to_raise() -> bool:
    """Whether a filter makes an error of our warning by name; a blanket ``-W error`` isn't meant for us."""
    return any(action == "error" and category is GraphDebugWarning
               for action, _, category, _, _ in warnings.filters)  # fmt: skip


_alive: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _mute_in_child() -> None:
    """A forked child (a DataLoader worker) shares the parent's file: it must not write to it."""
    for recorder in list(_alive):
        recorder.mute()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mute_in_child)
