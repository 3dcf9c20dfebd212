"""TensorFlow 2 as one part of the backend: eager ops, tapes and functions around one observer."""

from __future__ import annotations

from collections.abc import Callable

from graphdebug.backends.protocol import Attachment, Sink
from graphdebug.backends.tensorflow.two.eager import watch_ops
from graphdebug.backends.tensorflow.two.function import watch_functions
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.tape import watch_tape
from graphdebug.model.event import Failure
from graphdebug.options import Options

__all__ = ["attach"]


def attach(sink: Sink, options: Options) -> Attachment:
    """Watch eager ops, gradient tapes and functions from now on."""
    observer = Observer(sink, options)
    return _Two(observer, [watch(observer) for watch in (watch_ops, watch_tape, watch_functions)])


class _Two:
    """TensorFlow 2, watched."""

    def __init__(self, observer: Observer, restores: list[Callable[[], None]]) -> None:
        self._observer = observer
        self._restores = restores

    def drain(self) -> None:
        """Write what is held back."""
        self._observer.drain()

    def failure(self, error: BaseException) -> Failure | None:
        """Return what is known of an exception of TensorFlow's."""
        del error
        return None

    def detach(self) -> None:
        """Take back every patch, in reverse."""
        while self._restores:
            self._restores.pop()()
