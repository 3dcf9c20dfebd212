"""Watching: `break_on` and `tf_debugging` in TensorFlow 2, asked after each eager op and each function."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType
from typing import Any

from graphdebug.backends.tensorflow.breakpoints import Breakpoint
from graphdebug.backends.tensorflow.numerics import first_nonfinite, numerics_error, numerics_failure
from graphdebug.backends.tensorflow.two.failing import Failing
from graphdebug.backends.tensorflow.two.observer import Observer

__all__ = ["watch_values"]


def watch_values(observer: Observer, failing: Failing) -> None:
    """Look at each event that `observer` is given, if the user asked for a breakpoint or for checks."""
    options = observer.options
    stop = Breakpoint(options.break_on, observer.sink.sites)
    if not stop.wanted and not options.tf_debugging:
        return

    def ended(frame: FrameType | None, outputs: Sequence[Any]) -> None:
        events, observer.fresh = observer.fresh or (), []
        state = observer.ledger.state
        if stop.wanted:
            state.busy = True  # what the user computes at the debugger's prompt is not the program's
            try:
                stop.stop(events, frame, outputs)
            finally:
                state.busy = False
        born = first_nonfinite(events) if options.tf_debugging else None
        if born is not None:
            error = numerics_error(born, None)
            failing.keep_told(error, numerics_failure(error, born, observer.sink.next_seq()))
            raise error

    observer.fresh = []
    observer.ended = ended
