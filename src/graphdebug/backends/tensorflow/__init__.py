"""The TensorFlow backend: sessions, eager ops and functions, each its own part, as one attachment."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.backends.protocol import Attachment, Sink
from graphdebug.backends.tensorflow import two
from graphdebug.backends.tensorflow.converted import Converted
from graphdebug.backends.tensorflow.sessions import session
from graphdebug.model.event import Failure
from graphdebug.options import Options

__all__ = ["attach"]

_PARTS = (session, two)
"""Modules with an `attach(sink, options) -> Attachment` each: one a way in which TensorFlow executes."""


def attach(sink: Sink, options: Options) -> Attachment:
    """Hook into every way in which TensorFlow executes graphs."""
    sink.sites.rewritten(Converted())
    parts: list[Attachment] = []
    try:
        parts.extend(part.attach(sink, options) for part in _PARTS)
    except BaseException:
        _Parts(parts).detach()
        raise
    return _Parts(parts)


class _Parts:
    """Several attachments that act as one."""

    def __init__(self, parts: Sequence[Attachment]) -> None:
        self._parts = parts

    def drain(self) -> None:
        for part in self._parts:
            part.drain()

    def failure(self, error: BaseException) -> Failure | None:
        """The first part that knows the exception explains it."""
        return next((found for part in self._parts if (found := part.failure(error)) is not None), None)

    def detach(self) -> None:
        for part in reversed(self._parts):
            part.detach()
