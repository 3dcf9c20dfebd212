"""For TensorFlow programs that want a hook of their own: `SessionRunHook` for `MonitoredSession`."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

try:
    import tensorflow as tf
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "graphdebug.tensorflow needs TensorFlow: pip install 'graphdebug[tensorflow]'"
    ) from missing

from graphdebug.backends.tensorflow.patches import Patches
from graphdebug.recording import Recording, record

__all__ = ["SessionRunHook"]

_ENDS = (tf.errors.OutOfRangeError, StopIteration)


class SessionRunHook(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc] # TensorFlow has no types
    """Records all that a `MonitoredSession` runs, from its creation to its end.

    It does what ``with graphdebug.record(path, ...)`` around the session does, for programs that hand their
    hooks to somebody else's training loop. An exception that ends the session is explained by a note on it.

    Args:
        path: log file to write, or None to keep the run in memory.
        **options: the options of `graphdebug.record`.

    Raises:
        OptionError: an option has an unknown value.

    """

    def __init__(self, path: str | os.PathLike[str] | None = None, **options: Any) -> None:
        self.run: Recording = record(path, **options)
        """The recording, a `Run` to look at after the session."""
        self._open = False
        self._patches = Patches()

    def begin(self) -> None:
        """Start to record; TensorFlow calls this before it creates the session."""
        if self._open:
            return
        self.run.__enter__()
        self._open = True
        self._watch_exit()

    def end(self, _session: Any) -> None:
        """Stop; TensorFlow calls this when the session ends in order, and only then."""
        self._close(None, None, None)

    def _watch_exit(self) -> None:
        """See the exception that ends a session: TensorFlow does not tell hooks of it."""
        from tensorflow.python.training.monitored_session import _MonitoredSession

        hook = self

        def __exit__(  # noqa: N807 -- the method it stands in for
            self: Any,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> Any:
            if kind is not None and not issubclass(kind, _ENDS) and hook in (self._hooks or ()):
                hook._close(kind, error, trace)
            return leave(self, kind, error, trace)

        leave = self._patches.put(_MonitoredSession, "__exit__", __exit__)

    def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._open = False
            self._patches.undo()
            self.run.__exit__(kind, error, trace)
