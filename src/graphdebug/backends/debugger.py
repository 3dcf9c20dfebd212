"""The debugger that a breakpoint opens: at the user's line, with the tensor in question, and on from there."""

from __future__ import annotations

import pdb  # noqa: T100  # opening the debugger is what this part is for
import sys
from bdb import BdbQuit
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

__all__ = ["OFFENDING", "BdbQuit", "open_debugger"]

OFFENDING = "offending"
"""What the tensor is called at the debugger's prompt."""


def open_debugger(frame: FrameType, names: Mapping[str, Any]) -> None:
    """Open pdb at `frame`, and go on as it was told: to the next line of the user's, to the end, or not at all.

    Args:
        frame: the user's frame, which called what is running.
        names: more names that the prompt knows.

    Raises:
        BdbQuit: the user quit, as in any other debugger.

    """
    debugger = _Debugger(names)
    debugger.reset()
    debugger.interaction(frame, None)
    debugger.go_on(frame)


class _Debugger(pdb.Pdb):
    def __init__(self, names: Mapping[str, Any]) -> None:
        super().__init__(nosigint=True)  # Ctrl-C stays what it was
        self._names = dict(names)

    def setup(self, f: FrameType | None, tb: TracebackType | None) -> None:
        """Add the names to those of the frame."""
        super().setup(f, tb)
        if self._names:
            held: Any = self.curframe_locals
            held.update(self._names)

    def go_on(self, frame: FrameType) -> None:
        """Trace the user's frames from here on, if one of them is to be stopped in."""
        self._names = {}  # the tensor is that of this stop
        if self.quitting:
            raise BdbQuit
        ends = self.stopframe is None and self.stoplineno == -1
        if ends and not self.breaks:
            return
        outer: FrameType | None = frame
        while outer is not None:
            outer.f_trace = self.trace_dispatch
            self.botframe = outer
            outer = outer.f_back
        if ends:
            self.set_continue()
        elif self.stopframe is None:
            self.set_next(frame)  # a step would be one into ours
        sys.settrace(self.trace_dispatch)
