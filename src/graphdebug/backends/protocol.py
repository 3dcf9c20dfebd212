"""What a backend is: it attaches to its framework, emits events, and returns its own detach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from graphdebug.model.event import Event, Failure, Operand, Phase
from graphdebug.model.site import SiteFinder
from graphdebug.options import Options

__all__ = ["Attachment", "Backend", "Elements", "Sink"]


class Elements(NamedTuple):
    """The elements of a tensor, read only if they are to be saved. Reading runs no code of the user's."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    """In bytes."""
    read: Callable[[], bytes]
    """Returns them in row-major order; may raise."""


class Sink(Protocol):
    """What a backend is given: where events go, and the numbers they carry."""

    sites: SiteFinder
    step: int
    """Number of the step that is running, from 0."""
    recording: bool
    """Whether nodes of this step are wanted (``every=N``, paused recorder, forked child): when False, don't
    take them."""

    whole_steps: bool
    """Whether all of a step has to be written before the next begins: where a part holds back events beside the
    nodes, and where steps are held in memory. Else short steps are written together."""

    phase: Phase | None
    """What a library above the framework says it is doing (Keras applying an optimizer); mostly None."""

    module: str
    """Path of the layer that a library above the framework is calling (Keras); empty most of the time."""

    def next_seq(self) -> int:
        """Take the next sequence number. Take it when the op runs, also if the event is built later."""
        ...

    def next_seqs(self, count: int) -> int:
        """Take `count` numbers that follow each other without gaps; return the first."""
        ...

    def now(self) -> float:
        """Seconds since the run started."""
        ...

    def emit(self, events: Sequence[Event]) -> None:
        """Write events. Never raises. Cheap in batches (some hundred), not one by one."""
        ...

    def save(
        self, seq: int, operands: Sequence[Operand], elements: Sequence[Elements | None]
    ) -> tuple[Operand, ...]:
        """Save the operands of failing call `seq` whole, if this recording saves tensors. Never raises.

        Args:
            seq: sequence number of the failure.
            operands: what the call was given.
            elements: for each operand its elements, None where they can't be had; empty if none can.

        Returns:
            The operands, those saved with the place in ``fact.saved``.

        """
        ...

    def advance_step(self) -> None:
        """The running step is over: a backend saw an optimizer step or a session run end."""
        ...

    def tool_error(self, where: str, error: BaseException) -> None:
        """Report that graphdebug itself failed: a `tool_error` event and one warning a recording."""
        ...


class Attachment(Protocol):
    """A backend at work in its framework."""

    def drain(self) -> None:
        """Emit all that has been seen and not yet emitted."""
        ...

    def failure(self, error: BaseException) -> Failure | None:
        """Return what is known of an exception leaving the block, or None if this framework did not raise
        it. Must not run user code.
        """
        ...

    def detach(self) -> None:
        """Take back every hook, patch and mode."""
        ...


class Backend(Protocol):
    """The module ``graphdebug.backends.<framework>``; importing it may import the framework."""

    def attach(self, sink: Sink, options: Options) -> Attachment:
        """Hook into the framework; events go to `sink` until the attachment is detached."""
        ...
