"""TensorFlow 2 as one part of the backend: eager ops, tapes and functions around one observer."""

from __future__ import annotations

from collections.abc import Callable

from graphdebug.backends.protocol import Attachment, Sink
from graphdebug.backends.tensorflow.two.clerk import Clerk
from graphdebug.backends.tensorflow.two.datasets import Datasets, watch_datasets
from graphdebug.backends.tensorflow.two.eager import EagerOps, watch_ops
from graphdebug.backends.tensorflow.two.failing import Failing, watch_errors
from graphdebug.backends.tensorflow.two.function import watch_functions
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.pipelines import Pipelines
from graphdebug.backends.tensorflow.two.retracing import watch_tracing
from graphdebug.backends.tensorflow.two.tape import Tape, watch_tape
from graphdebug.backends.tensorflow.two.variables import Variables, watch_variables
from graphdebug.backends.tensorflow.two.watching import watch_values
from graphdebug.model.event import Failure
from graphdebug.options import Options

__all__ = ["attach"]


def attach(sink: Sink, options: Options) -> Attachment:
    """Watch eager ops, gradient tapes and functions from now on."""
    observer = Observer(sink, options)
    pipelines = Pipelines(observer)
    failing = Failing(observer, pipelines)
    watch_values(observer, failing)
    ops, tape = EagerOps(observer, pipelines), Tape(observer)
    seen, gradient_function = ops.seen, tape.gradient_function
    if Clerk.serves(observer):
        observer.lines = clerk = Clerk(observer, ops, tape)
        seen = clerk.native.seen
        gradient_function = clerk.native.gradient if options.gradients != "all" else gradient_function
    restores = [watch_errors(failing, observer), watch_ops(seen)]
    restores.append(watch_tape(observer, tape, gradient_function))
    restores.append(watch_tracing(observer))
    restores.append(watch_functions(observer, failing))
    restores.append(watch_datasets(Datasets(sink)))
    restores.append(watch_variables(Variables(observer)))
    return _Two(observer, failing, restores)


class _Two:
    """TensorFlow 2, watched."""

    def __init__(self, observer: Observer, failing: Failing, restores: list[Callable[[], None]]) -> None:
        self._observer = observer
        self._failing = failing
        self._restores = restores

    def drain(self) -> None:
        """Write what is held back."""
        self._observer.drain()

    def failure(self, error: BaseException) -> Failure | None:
        """Return what is known of an exception of TensorFlow's."""
        found = self._failing.of(error)
        self._observer.drain()
        return found

    def detach(self) -> None:
        """Take back every patch, in reverse."""
        while self._restores:
            self._restores.pop()()
