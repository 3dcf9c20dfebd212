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
from collections.abc import Callable, Sequence
from itertools import count
from typing import Literal, Protocol

from graphdebug.errors import GraphDebugWarning
from graphdebug.model.event import End, Event, Phase, Source, ToolError
from graphdebug.model.site import SiteFinder

__all__ = ["Log", "Recorder"]

_LARGEST_SOURCE = 2_000_000
"""Characters of a source file that are kept in the log; a larger file is not kept."""


class Log(Protocol):
    """Where a recorder puts events: memory, a file, or a flight recorder before either."""

    def write(self, events: Sequence[Event]) -> None:
        """Append `events`; raises OSError if they can't be written."""
        ...


class Recorder:
    """The `Sink` of one recording.

    Args:
        log: where events go.
        drain: makes the backends emit all they hold back; called before a step's number changes.
        every: record every N-th step.
        target: the log's path in words, for warnings.

    """

    def __init__(self, log: Log, drain: Callable[[], None], *, every: int, target: str) -> None:
        self.sites = SiteFinder(self._keep_source)
        self.step = 0
        self.recording = True
        self.phase: Phase | None = None
        self.module = ""
        self.written = 0
        self._log = log
        self._drain = drain
        self._every = every
        self._target = target
        self._began = time.perf_counter()
        self._lock = threading.RLock()
        self._muted = self._warned = self._user_marks_steps = False
        self.next_seq: Callable[[], int] = count().__next__
        _alive.add(self)

    def now(self) -> float:
        """Seconds since the run started."""
        return time.perf_counter() - self._began

    def emit(self, events: Sequence[Event]) -> None:
        """Write events. A log that can't be written is one warning, and the run goes on unrecorded."""
        if self._muted or not events:
            return
        with self._lock:
            self.written += len(events)
            self._try(lambda: self._log.write(events))

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

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.mute()
            reason = error.strerror or str(error)
            self.warn(
                f"graphdebug can't write {self._target} any more ({reason}); your program goes on, unrecorded"
            )

    def _end_step(self) -> None:
        self._drain()
        self.step += 1
        self.recording = not self._muted and self.step % self._every == 0

    def _keep_source(self, file: str) -> None:
        text = "".join(linecache.getlines(file))
        if text and len(text) <= _LARGEST_SOURCE:
            self.emit([Source(self.next_seq(), file, text)])


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
