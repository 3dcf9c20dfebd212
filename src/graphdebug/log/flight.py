"""The flight recorder: a log that holds the last steps in memory and writes them when something goes wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from graphdebug.model.event import Event, Gradient, Node

__all__ = ["FlightRecorder"]

_SPIKE = 10.0
"""A gradient this many times the median of the held steps is a spike."""


class _Log(Protocol):
    def write(self, events: Sequence[Event]) -> None: ...


class FlightRecorder:
    """Passes on at once what describes the run; holds nodes and gradients of the last steps.

    Args:
        log: where events go when something goes wrong.
        keep_last: how many steps are held.

    """

    def __init__(self, log: _Log, keep_last: int) -> None:
        self._log = log
        self._steps: deque[tuple[int, list[Event]]] = deque(maxlen=keep_last)

    def write(self, events: Sequence[Event]) -> None:
        """Hold nodes and gradients, pass on the rest; a non-finite value writes out all that is held."""
        passing: list[Event] = []
        triggered = False
        for event in events:
            if isinstance(event, Node | Gradient):
                self._hold(event)
                triggered = triggered or _is_nonfinite(event)
            else:
                passing.append(event)
        if passing:
            self._log.write(passing)
        if triggered:
            self.dump()

    def dump(self) -> None:
        """Write out the held steps."""
        while self._steps:
            self._log.write(self._steps.popleft()[1])

    def close(self) -> None:
        """Close the log behind; what is still held is dropped: nothing went wrong."""
        close = getattr(self._log, "close", None)
        if close is not None:
            close()

    def _hold(self, event: Node | Gradient) -> None:
        if not self._steps or self._steps[-1][0] != event.step:
            self._steps.append((event.step, []))
        self._steps[-1][1].append(event)


def _is_nonfinite(event: Node | Gradient) -> bool:
    if isinstance(event, Gradient):
        return event.fact.finite is False
    return any(fact.finite is False for fact in event.outputs)
