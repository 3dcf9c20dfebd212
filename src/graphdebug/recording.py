"""record(): open the log, attach the backends, detach them in reverse, explain what went wrong."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from graphdebug.backends import discovery
from graphdebug.backends.protocol import Attachment
from graphdebug.errors import RecordingError
from graphdebug.launch import path_of_rank, run_start
from graphdebug.model.event import Failure, Framework, Level, Notice
from graphdebug.model.finding import Finding
from graphdebug.model.run import Run, StepSlice
from graphdebug.model.store import EventStore, MemoryStore
from graphdebug.options import Options
from graphdebug.recorder import Log, Recorder, Tensors
from graphdebug.showing import SHOWING

__all__ = ["Recording", "record"]

_LARGE = 16 << 20
"""Bytes of a log that takes a noticeable time to index."""


def record(
    path: str | os.PathLike[str] | None = None,
    *,
    level: Level = "health",
    gradients: Literal["none", "parameters", "all"] = "parameters",
    modules: Sequence[str] = (),
    ops: Sequence[str] = (),
    phases: Sequence[str] = (),
    every: int = 1,
    keep_last: int | None = None,
    anomaly: bool = False,
    tf_debugging: bool = False,
    allow: Sequence[str] = (),
    break_on: Literal["nonfinite"] | Callable[..., bool] | None = None,
) -> Recording:
    """Record every node that PyTorch and TensorFlow execute inside the ``with`` block.

    Args:
        path: log file to write (JSON lines), or None to keep the run in memory. A rank of a distributed
            job (``RANK`` or ``TF_CONFIG`` in the environment) writes ``<stem>.rank<N><suffix>`` beside it.
        level: ``shapes``, ``health`` (plus: is it finite), ``stats`` (plus min, max, mean, std, l2 and
            counts) or ``values`` (plus elements).
        gradients: record gradients of ``parameters``, of ``all`` forward tensors too, or ``none``.
        modules: glob patterns of module paths to record; empty records all.
        ops: glob patterns of op or function names to record; empty records all.
        phases: phases to record (``forward``, ``backward``, ``optimizer`` ...); empty records all.
        every: record every N-th step.
        keep_last: hold only the last N steps in memory, and write them when something goes wrong.
        anomaly: torch: switch anomaly mode on; its forward traceback goes into the event.
        tf_debugging: TensorFlow: raise at the first node whose output is not finite.
        allow: glob patterns of functions, ops, modules, node names or ``file.py:line`` that may give NaN
            or Inf: a mask, a padded row. No finding is made of it.
        break_on: enter the debugger where a value that is not finite is born, or when a predicate says so.

    Returns:
        The recording, a context manager and a `Run`.

    Raises:
        OptionError: an option has an unknown value.
        LogError: on entering the block, if the log can't be written.
        RecordingError: on entering the block, if another thread is recording.

    """
    options = Options(
        level=level, gradients=gradients, modules=tuple(modules) if not isinstance(modules, str) else modules,
        ops=tuple(ops) if not isinstance(ops, str) else ops,
        phases=tuple(phases) if not isinstance(phases, str) else phases,
        allow=tuple(allow) if not isinstance(allow, str) else allow,
        every=every, keep_last=keep_last, anomaly=anomaly, tf_debugging=tf_debugging, break_on=break_on,
    )  # fmt: skip
    return Recording(None if path is None else Path(path), options)


class Recording(Run):
    """A run that is being recorded: a context manager, and a `Run` inside its block and after it.

    One process records one run at a time: a recording entered inside another pauses the outer one until
    it ends; entering one while another thread records is an error.
    """

    def __init__(self, path: Path | None, options: Options) -> None:
        super().__init__(MemoryStore(), diagnose=_diagnose, showing=SHOWING)
        self.options = options
        self.path = path_of_rank(path)
        self._recorder: Recorder | None = None
        self._attachments: dict[str, Attachment] = {}
        self._watch: discovery.ImportWatch | None = None
        self._thread = 0
        self._read_at = -1
        self._failed = False

    def __enter__(self) -> Recording:
        if self._recorder is not None:
            raise RecordingError(
                "this recording has been used: call graphdebug.record(...) again for a new run"
            )
        outer = _active[-1] if _active else None
        if outer is not None and outer._thread != threading.get_ident():
            raise RecordingError(
                f"another thread is recording (into {outer.target}): a process records one run at a time"
            )
        recorder = self._open()
        if outer is not None:
            outer._pause_for(self)
        _active.append(self)
        recorder.emit([run_start(recorder.next_seq(), self.options)])
        try:
            self._attach_all()
        except BaseException:
            self._stop("failed")
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = isinstance(error, Exception) and not isinstance(error, StopIteration)
        try:
            if failed and error is not None:
                self._record_failure(error)
        finally:
            self._stop("failed" if self._failed else _status_of(error))
        if failed and error is not None:
            _drop_own_frames(error)
            self._explain(error)

    @property
    def target(self) -> str:
        """Where the log goes, in words."""
        return str(self.path or "memory")

    @property
    def store(self) -> EventStore:
        """Where the events are; inside the block, all that was recorded so far."""
        self._drain()
        if self._recorder is not None and self._read_at != self._recorder.written:
            self._read_at = self._recorder.written
            self._findings = self._sources = None
            if self.path is not None:
                from graphdebug.log.reader import LogFile

                self._store = LogFile(self.path)
        return self._store

    @property
    def findings(self) -> Sequence[Finding]:
        """What the diagnosis says of what was recorded so far, the most certain first."""
        self.store  # noqa: B018 - reading it drops findings that newer events have made stale
        return super().findings

    def step(self, number: int | None = None) -> StepSlice:
        """Without a number: mark the end of a step. With one: return that step's nodes and gradients."""
        if number is None:
            if self._recorder is None:
                raise RecordingError("step() marks a step inside the `with` block; step(n) reads step n")
            number = self._recorder.step
            self._recorder.mark_step()
        return super().step(number)

    def fail(self, error: BaseException) -> None:
        """Record an exception that was caught inside the block, as by a test runner, and ends the run."""
        self._record_failure(error)
        self._failed = True
        _drop_own_frames(error)

    def pause(self) -> None:
        """Record nothing until `resume`."""
        self._detach_all()

    def resume(self) -> None:
        """Record again after `pause`."""
        self._attach_all()

    def dump(self) -> None:
        """Flight recorder: write out the steps held in memory now."""
        self._drain()
        if self._recorder is not None:
            self._recorder.dump()

    def _open(self) -> Recorder:
        log: Log = self._store if isinstance(self._store, MemoryStore) else MemoryStore()
        tensors: Tensors | None = None
        if self.path is not None:
            from graphdebug.log.tensors import TensorFolder
            from graphdebug.log.writer import LogWriter

            log = LogWriter(self.path)
            folder = TensorFolder(self.path)
            tensors = folder if self.options.level == "values" else None
        if self.options.keep_last is not None:
            from graphdebug.log.flight import FlightRecorder

            log = FlightRecorder(log, self.options.keep_last, lambda: recorder.next_seq())
        self._thread = threading.get_ident()
        recorder = Recorder(log, self._drain, every=self.options.every, target=self.target, tensors=tensors)
        self._recorder = recorder
        return recorder

    def _attach_all(self) -> None:
        names = discovery.frameworks()
        self._watch = discovery.ImportWatch([name for name in names if name not in sys.modules], self._attach)
        for name in names:
            if name in sys.modules:
                self._attach(name)

    def _attach(self, name: str) -> None:
        recorder, framework = self._recorder, sys.modules[name]
        if recorder is None:
            return
        if getattr(framework, "__file__", None):
            recorder.sites.ignore(os.path.dirname(str(framework.__file__)))
        version = str(getattr(framework, "__version__", "unknown"))
        recorder.emit([Framework(recorder.next_seq(), name, version)])
        try:
            self._attachments[name] = discovery.load(name).attach(recorder, self.options)
        except Exception as error:
            recorder.tool_error(f"attaching to {name}", error)

    def _detach_all(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        while self._attachments:
            name, attachment = self._attachments.popitem()
            for leave in (attachment.drain, attachment.detach):
                try:
                    leave()
                except Exception as error:
                    self._tool_error(f"detaching from {name}", error)
        if self._recorder is not None:
            self._recorder.flush()

    def _drain(self) -> None:
        for name, attachment in list(self._attachments.items()):
            try:
                attachment.drain()
            except Exception as error:
                self._tool_error(f"reading what {name} ran", error)
        if self._recorder is not None:
            self._recorder.flush()

    def _tool_error(self, where: str, error: BaseException) -> None:
        if self._recorder is not None:
            self._recorder.tool_error(where, error)

    def _pause_for(self, inner: Recording) -> None:
        self._detach_all()
        if self._recorder is not None:
            text = f"an inner recording took over, into {inner.target}"
            self._recorder.emit([Notice(self._recorder.next_seq(), "paused", text)])

    def _record_failure(self, error: BaseException) -> None:
        if self._recorder is None:
            return
        self._drain()
        failure: Failure | None = None
        for name, attachment in self._attachments.items():
            try:
                failure = failure or attachment.failure(error)
            except Exception as trouble:
                self._tool_error(f"explaining an exception of {name}", trouble)
        self._recorder.emit([failure or _plain_failure(self._recorder, error)])

    def _stop(self, status: Literal["completed", "failed", "interrupted", "exited"]) -> None:
        self._detach_all()
        if self._recorder is not None:
            self._recorder.close(status)
        _active.remove(self)
        if _active:
            _active[-1]._attach_all()

    def _as_just_written(self) -> Run:
        """Return this run; where its log is large, one that answers at once, without reading all of it."""
        if self.path is None or self._recorder is None or self.options.keep_last is not None:
            return self
        if not self.path.exists() or self.path.stat().st_size < _LARGE:
            return self
        from graphdebug.log.seeking import SeekingLog

        return Run(SeekingLog(self.path, self._recorder.others, self._recorder.forms))

    def _explain(self, error: BaseException) -> None:
        """Add the first finding to the exception as a note, once however many recordings it leaves."""
        if any(note.startswith("graphdebug:") for note in getattr(error, "__notes__", ())):
            return
        try:
            from graphdebug.diagnosis import explain_failure

            finding = explain_failure(self._as_just_written())
        except Exception as trouble:
            if self._recorder is not None:
                self._recorder.warn(f"graphdebug could not explain this ({type(trouble).__name__}: {trouble})")
            return
        if finding is not None:
            error.add_note(finding.text)


_active: list[Recording] = []
"""The recordings that are open, outermost first; only the last one is attached."""


def _diagnose(run: Run) -> Sequence[Finding]:
    from graphdebug.diagnosis import diagnose

    return diagnose(run)


def _drop_own_frames(error: BaseException) -> None:
    """Take the frames of our hooks out of the tracebacks that are shown: without us they would not be there."""
    seen: set[int] = set()
    shown: BaseException | None = error
    while shown is not None and id(shown) not in seen:
        seen.add(id(shown))
        entry = shown.__traceback__
        while entry is not None:
            while entry.tb_next is not None and _is_own(entry.tb_next):
                entry.tb_next = entry.tb_next.tb_next
            entry = entry.tb_next
        shown = shown.__cause__ or shown.__context__


def _is_own(entry: TracebackType) -> bool:
    module = entry.tb_frame.f_globals.get("__name__")  # its file may be the framework's, so that it is filtered
    return isinstance(module, str) and module.partition(".")[0] == "graphdebug"


def _status_of(error: BaseException | None) -> Literal["completed", "failed", "interrupted", "exited"]:
    if error is None or isinstance(error, GeneratorExit | StopIteration):
        return "completed"
    if isinstance(error, SystemExit):
        return "exited"
    return "failed" if isinstance(error, Exception) else "interrupted"


def _plain_failure(recorder: Recorder, error: BaseException) -> Failure:
    """What is known of an exception that no framework raised: its frames."""
    frames = recorder.sites.of_error(error)
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    site = frames[-1] if frames else None
    return Failure(recorder.next_seq(), recorder.step, name, str(error), site=site, frames=frames)
