"""Breakpoints on values: the debugger opens at the user's line that ran the graph, naming the node."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from graphdebug.backends.debugger import OFFENDING, open_debugger
from graphdebug.backends.tensorflow.numerics import first_nonfinite
from graphdebug.model.event import Event, Node
from graphdebug.model.site import SiteFinder

__all__ = ["Breakpoint"]


class Breakpoint:
    """A recording's `break_on`, asked after each run of a session or function and after each eager op.

    Args:
        condition: ``nonfinite``, a predicate of a node and its output facts, or None for no breakpoint.
        finder: tells the user's frames.

    """

    def __init__(self, condition: Any, finder: SiteFinder) -> None:
        self._predicate: Callable[..., bool] | None = condition if callable(condition) else None
        self._finder = finder
        self.wanted = condition is not None and os.environ.get("PYTHONBREAKPOINT") != "0"

    def stop(self, events: Sequence[Event], frame: FrameType | None, tensors: Sequence[Any] = ()) -> None:
        """Open the debugger where the user ran the graph or the op, if a node meets the condition.

        Args:
            events: what ran.
            frame: where to look for the user's frame from.
            tensors: the outputs of an eager op; the debugger knows the one in question as `offending`.

        """
        node = self._first(events)
        while frame is not None and not self._finder.is_user(frame.f_code.co_filename):
            frame = frame.f_back
        if node is None or frame is None:
            return
        verb = "" if node.mode == "eager" else "built "
        where = f", {verb}at {os.path.basename(node.site.file)}:{node.site.line}" if node.site else ""
        offending = _offending(node, tensors)
        what = "it" if offending is None else OFFENDING
        print(f"graphdebug: {node.name or node.function} ({node.op}, {node.phase}) made {what}{where}")
        open_debugger(frame, {} if offending is None else {OFFENDING: offending})

    def _first(self, events: Sequence[Event]) -> Node | None:
        if self._predicate is None:
            return first_nonfinite(events)
        nodes = (event for event in events if isinstance(event, Node))
        return next((node for node in nodes if self._predicate(node, node.outputs)), None)


def _offending(node: Node, tensors: Sequence[Any]) -> Any:
    """Return the first output of an eager node that is not finite, else its first; None of other nodes."""
    if node.mode != "eager" or len(tensors) != len(node.outputs):
        return None
    bad = (tensor for tensor, fact in zip(tensors, node.outputs, strict=True) if fact.finite is False)
    return next(bad, next(iter(tensors), None))
