"""Breakpoints on values: the debugger opens at the user's line that ran the session, naming the node."""

from __future__ import annotations

import os
import pdb  # noqa: T100 -- opening the debugger is what this part is for
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from graphdebug.backends.tensorflow.numerics import first_nonfinite
from graphdebug.model.event import Event, Node
from graphdebug.model.site import SiteFinder

__all__ = ["Breakpoint"]


class Breakpoint:
    """A recording's `break_on`, asked after each run of a session.

    Args:
        condition: ``nonfinite``, a predicate of a node and its output facts, or None for no breakpoint.
        finder: tells the user's frames.

    """

    def __init__(self, condition: Any, finder: SiteFinder) -> None:
        self._predicate: Callable[..., bool] | None = condition if callable(condition) else None
        self._finder = finder
        self.wanted = condition is not None and os.environ.get("PYTHONBREAKPOINT") != "0"

    def stop(self, events: Sequence[Event], frame: FrameType | None) -> None:
        """Open the debugger where the user ran the session, if a node meets the condition."""
        node = self._first(events)
        while frame is not None and not self._finder.is_user(frame.f_code.co_filename):
            frame = frame.f_back
        if node is None or frame is None:
            return
        built = f", built at {os.path.basename(node.site.file)}:{node.site.line}" if node.site else ""
        print(f"graphdebug: {node.name} ({node.op}, {node.phase}) made it{built}")
        debugger = pdb.Pdb()
        debugger.reset()
        debugger.interaction(frame, None)

    def _first(self, events: Sequence[Event]) -> Node | None:
        if self._predicate is None:
            return first_nonfinite(events)
        nodes = (event for event in events if isinstance(event, Node))
        return next((node for node in nodes if self._predicate(node, node.outputs)), None)
