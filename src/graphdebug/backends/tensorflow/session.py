"""TF1 sessions: every node that `Session.run` executes."""

from __future__ import annotations

from graphdebug.backends.protocol import Attachment, Sink
from graphdebug.model.event import Failure
from graphdebug.options import Options

__all__ = ["attach"]


def attach(sink: Sink, options: Options) -> Attachment:
    """Watch every session from now on."""
    return _Sessions(sink, options)


class _Sessions:
    """The sessions of the process, watched."""

    def __init__(self, sink: Sink, options: Options) -> None:
        self._sink = sink
        self._options = options

    def drain(self) -> None:
        """Nothing is held back."""

    def failure(self, _error: BaseException) -> Failure | None:
        """Return None: not a session's exception."""
        return None

    def detach(self) -> None:
        """Nothing to take back."""
