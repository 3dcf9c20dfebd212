"""The PyTorch backend: every op of eager torch, backward, optimizers and failures, as events.

A recording of torch is made of parts, each attached by its module's class or function, drained and detached
on its own; `PARTS` lists what is added to the recorder itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.anomaly import Anomaly
from graphdebug.backends.torch.breakpoints import Breakpoints
from graphdebug.backends.torch.compiled.programs import Compiled
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.failing.failures import failure_of
from graphdebug.backends.torch.failing.quoted import at_quoted_line, restore_message
from graphdebug.backends.torch.threads import Threads
from graphdebug.backends.torch.tracing import Tracing
from graphdebug.backends.torch.training.given import GivenGradients
from graphdebug.backends.torch.training.gradients import Gradients
from graphdebug.backends.torch.training.optimizers import Optimizers
from graphdebug.backends.torch.training.steps import Steps
from graphdebug.model.event import Failure
from graphdebug.options import Options

__all__ = ["PARTS", "Part", "attach"]


class Part(Protocol):
    """One concern of the backend at work."""

    def drain(self) -> None:
        """Emit what is held back."""
        ...

    def detach(self) -> None:
        """Take back what was installed."""
        ...


PARTS: tuple[Callable[[EagerRecorder], Part], ...] = (
    Steps, GivenGradients, Compiled, Optimizers, Gradients, Breakpoints, Threads, Anomaly,
    Tracing,
)  # fmt: skip
"""Called in order when a recording attaches, each with the recorder; detached in reverse."""


class TorchAttachment:
    """The recorder and its parts at work."""

    def __init__(self, sink: Sink, options: Options) -> None:
        self._recorder = EagerRecorder(sink, options)
        self._parts: list[Part] = []
        for part in PARTS:
            try:
                self._parts.append(part(self._recorder))
            except Exception as error:
                sink.tool_error(f"attaching {part.__name__} to torch", error)
        self._recorder.attach()

    def drain(self) -> None:
        """Emit all that has been seen and not yet emitted."""
        self._recorder.drain()
        for part in self._parts:
            part.drain()

    def failure(self, error: BaseException) -> Failure | None:
        """Return what is known of an exception leaving the block; None if torch did not raise it."""
        restore_message(error, self._recorder.raised)
        for part in self._parts:
            failure = part.failure(error) if isinstance(part, Compiled) else None
            if failure is not None:
                return failure
        failure = failure_of(self._recorder, error)
        return None if failure is None else at_quoted_line(failure, self._recorder.sink.sites)

    def detach(self) -> None:
        """Take back every hook, patch and mode."""
        self._recorder.detach()
        for part in reversed(self._parts):
            part.detach()


def attach(sink: Sink, options: Options) -> TorchAttachment:
    """Hook into torch; events go to `sink` until the attachment is detached."""
    return TorchAttachment(sink, options)
