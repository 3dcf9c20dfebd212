"""Writing the log: batches of events through structlog to an append-only file of JSON lines."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO, cast

import structlog

try:
    import fcntl
except ImportError:  # Windows: two processes that write one log are not told apart
    fcntl = None  # type: ignore[assignment]

from graphdebug.errors import LogError
from graphdebug.log.folding import Folding
from graphdebug.model.batch import Filled
from graphdebug.model.event import Event

__all__ = ["LogWriter"]

_OFTEN = 0.05
"""Seconds that runs wait for others at most, while more come."""


class LogWriter:
    """An open log file. Each batch is one structlog event, rendered as a line per graph event and flushed.

    Args:
        path: file to write; its folder is made if missing; an earlier log there is replaced.

    Raises:
        LogError: the path can't be written, or holds something that is not a log of ours.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        self._folding = Folding()
        self._waiting: list[Sequence[Event]] = []
        self._process = os.getpid()
        self._written = monotonic()
        self._log: Any = structlog.wrap_logger(
            structlog.BytesLogger(cast("BinaryIO", self._file)),
            processors=[self._render],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
            cache_logger_on_first_use=True,
        ).bind()

    @property
    def forms(self) -> Sequence[int]:
        """Where in the file the forms are, by their numbers."""
        return self._folding.places

    def write(self, events: Sequence[Event]) -> None:
        """Append `events`. Raises OSError (disk full, ...), leaving whole lines behind.

        Runs that fill in a form the log has are short and many: they wait for others, 50 ms at most while
        more come, and for `flush`.
        """
        if isinstance(events, Filled):
            self._waiting.append(events)
            if monotonic() - self._written < _OFTEN:
                return
        elif events:
            self._waiting.append(events)
        self.flush()

    def flush(self) -> None:
        """Write what waits. Raises as `write` does."""
        if not self._waiting:
            return
        batches, self._waiting = self._waiting, []
        if os.getpid() != self._process:
            return  # a forked child's copy of what its parent writes
        start = self._file.tell()
        try:
            self._log.info("events", batches=batches)
        except OSError:
            _cut(self._file, start)
            raise
        self._written = monotonic()

    def _render(self, _logger: object, _method: str, fields: structlog.typing.EventDict) -> bytes:
        place, texts = self._file.tell(), []
        for batch in fields["batches"]:
            texts.append(self._folding.encode(batch, place))
            place += len(texts[-1]) + 1
        return b"\n".join(texts)

    def close(self) -> None:
        """Write what waits and close the file."""
        try:
            self.flush()
        finally:
            self._file.close()


class _WholeFile(io.FileIO):
    """An unbuffered file whose `write` writes all or raises, where the plain one may write a part."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # structlog writes only bytes
        """Write all of `data`."""
        rest = memoryview(data)
        while rest:
            rest = rest[super().write(rest) :]
        return len(data)


def _open(path: Path) -> _WholeFile:
    try:
        if path.is_dir():
            raise LogError(f"can't write the log {path}: it is a folder; give a file name in it")
        if path.exists() and path.stat().st_size and not _is_log(path):
            raise LogError(f"can't write the log {path}: the file there is not a graphdebug log; move it away")
        path.parent.mkdir(parents=True, exist_ok=True)
        return _own(_WholeFile(path, "ab"), path)
    except LogError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise LogError(f"can't write the log {path}: {reason}; choose a path you can write to") from error


def _own(file: _WholeFile, path: Path) -> _WholeFile:
    """Empty a file just opened, unless another process is writing to it."""
    if fcntl is not None and path.is_file():
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise LogError(
                f"can't write the log {path}: another process is writing it; give each process its own file "
                "(under a launcher that sets RANK, as torchrun does, each gets one by itself)"
            ) from None
        file.truncate(0)
    return file


def _is_log(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(14) == b'{"event":"run"'


def _cut(file: _WholeFile, size: int) -> None:
    """Take back a half-written batch, so that the file ends with a whole line."""
    try:
        file.truncate(size)
        file.seek(size)
    except OSError:
        return  # a pipe or a vanished disk: the reader copes with a torn last line
