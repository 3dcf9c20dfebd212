"""The flight recorder: a log that holds the last steps in memory and writes them when something goes wrong."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Protocol

from graphdebug.model.event import End, Event, Failure, Gradient, Node, Notice

__all__ = ["FlightRecorder"]

_SPIKE = 10.0
"""A gradient norm this many times the median of the steps before it is a spike."""
_FEWEST = 3
"""Steps whose gradient norm must be known before one can be called a spike."""


class _Log(Protocol):
    def write(self, events: Sequence[Event]) -> None: ...


class _Step:
    """The events of one step, and the sum of squares of its gradients."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.events: list[Event] = []
        self.squares = 0.0

    def add(self, event: Node | Gradient) -> None:
        self.events.append(event)
        if isinstance(event, Gradient) and event.name and event.fact.stats and event.fact.stats.l2 is not None:
            self.squares += float(event.fact.stats.l2) ** 2


class FlightRecorder:
    """Passes on at once what describes the run; holds nodes and gradients of the last steps.

    A step is written out, with all that is held, when a value in it is not finite, when the norm of its
    parameters' gradients is ten times the median of the steps before it (level ``stats`` takes the
    norms), on `dump`, and when the run fails. A step that caused writing is written to its end.

    Args:
        log: where events go when something goes wrong.
        keep_last: how many steps are held.
        next_seq: takes the number of the notice that says why the steps were written.

    """

    def __init__(self, log: _Log, keep_last: int, next_seq: Callable[[], int]) -> None:
        self._log = log
        self._next_seq = next_seq
        self._steps: deque[_Step] = deque(maxlen=keep_last)
        self._norms: deque[float] = deque(maxlen=max(keep_last, _FEWEST))
        self._written = -1
        """The step that is written as it goes on."""

    def write(self, events: Sequence[Event]) -> None:
        """Hold nodes and gradients, pass on the rest; write out all that is held if something went wrong."""
        passing: list[Event] = []
        for event in events:
            if isinstance(event, Node | Gradient):
                self._hold(event)
                continue
            if isinstance(event, Failure):
                self.dump(f"{event.error} was raised")
            elif isinstance(event, End):
                self._weigh_gradients()
            passing.append(event)
        if self._steps and self._steps[-1].number == self._written:
            self._write_out()
        if passing:
            self._log.write(passing)

    def dump(self, reason: str = "asked for") -> None:
        """Write out the held steps, and a notice that says why."""
        if any(step.events for step in self._steps):
            first, last = self._steps[0].number, self._steps[-1].number
            text = f"the flight recorder wrote steps {first} to {last}: {reason}"
            self._log.write([Notice(self._next_seq(), "flight", text)])
        self._write_out()

    def close(self) -> None:
        """Close the log behind; what is still held is dropped: nothing went wrong."""
        close = getattr(self._log, "close", None)
        if close is not None:
            close()

    def _hold(self, event: Node | Gradient) -> None:
        if not self._steps or self._steps[-1].number != event.step:
            self._weigh_gradients()
            self._steps.append(_Step(event.step))
        self._steps[-1].add(event)
        if event.step != self._written and _is_nonfinite(event):
            self._written = event.step
            self.dump(f"a value in step {event.step} is not finite")

    def _weigh_gradients(self) -> None:
        """The last step is over: write it out if its gradients are a spike."""
        if not self._steps or not self._steps[-1].squares:
            return
        step, norm = self._steps[-1], math.sqrt(self._steps[-1].squares)
        usual = median(self._norms) if len(self._norms) >= _FEWEST else math.inf
        if norm > _SPIKE * usual:
            self.dump(f"the gradient norm of step {step.number}, {norm:.3g}, is a spike (median {usual:.3g})")
        self._norms.append(norm)
        step.squares = 0.0

    def _write_out(self) -> None:
        for step in self._steps:
            if step.events:
                self._log.write(step.events)
                step.events = []


def _is_nonfinite(event: Node | Gradient) -> bool:
    if isinstance(event, Gradient):
        return event.fact.finite is False
    return any(fact.finite is False for fact in event.outputs)
