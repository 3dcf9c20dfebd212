"""Building modules: the lines that made each module, taken while it is made, in whatever form that is written.

A module that was made before the recording began was not seen; what made it is then read off the source
(`declaring.py`).
"""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import Any

from torch.nn.modules import module as modules

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.code.stack import locals_of
from graphdebug.model.event import Site
from graphdebug.model.site import Position

__all__ = ["Building", "Lines"]

_CALLERS = 9
_COMPREHENSIONS = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")

Lines = tuple[Site | None, tuple[Site, ...]]
"""The line that made a thing, None where a library did, and the user's lines around it, innermost first."""


class _Module:
    """What was seen of one module being made."""

    __slots__ = ("direct", "made", "parts", "reference")

    def __init__(self, module: Any) -> None:
        self.reference = weakref.ref(module)
        self.made: list[Position] = []
        self.direct = False
        """Whether a line of the user's called its class, not a library's."""
        self.parts: dict[str, list[Position]] = {}
        """Where its parameters and modules were given to it, by their names."""


class Building:
    """Listens to modules that register what they consist of: they do so while they are made."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._seen: dict[int, _Module] = {}
        self._prune_at = 1024
        self._handles = (
            modules.register_module_parameter_registration_hook(self._registered),
            modules.register_module_module_registration_hook(self._registered),
        )

    def made(self, module: Any) -> Lines | None:
        """Return the lines that made `module`; None where that was not seen."""
        seen = self._known(module)
        if seen is None or not seen.made:
            return None
        lines = tuple(self._sink.sites.resolve(one) for one in seen.made)
        return (lines[0], lines[1:]) if seen.direct else (None, lines)

    def given(self, owner: Any, name: str) -> Lines | None:
        """Return the lines that gave `owner` its part `name`; None where that was not seen."""
        seen = self._known(owner)
        found = seen.parts.get(name) if seen is not None else None
        lines = tuple(self._sink.sites.resolve(one) for one in found or ())
        return (lines[0], lines[1:]) if lines else None

    def detach(self) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()
        self._seen.clear()

    def _known(self, module: Any) -> _Module | None:
        seen = self._seen.get(id(module))
        return seen if seen is not None and seen.reference() is module else None

    def _registered(self, module: Any, name: str, _part: Any) -> None:
        try:
            self._note(module, name, sys._getframe(1))
        except Exception as error:
            self._sink.tool_error("looking at the line that makes a module", error)

    def _note(self, module: Any, name: str, frame: FrameType) -> None:
        seen = self._known(module)
        if seen is None:
            self._prune()
            seen = self._seen[id(module)] = _Module(module)
        if not seen.made and (outside := _outside(module, frame)) is not None:
            seen.direct = self._sink.sites.is_user(outside.f_code.co_filename)
            seen.made = self._positions(outside)
        seen.parts[name] = self._positions(frame)

    def _positions(self, frame: FrameType | None) -> list[Position]:
        """Return the user's positions from `frame` outwards; a comprehension stands for the line around it."""
        found: list[Position] = []
        inside = False
        for position in self._sink.sites.positions(frame, 2 * _CALLERS):
            if not inside:
                found.append(position)
            inside = position[0].co_name in _COMPREHENSIONS
        return found[:_CALLERS]

    def _prune(self) -> None:
        if len(self._seen) > self._prune_at:
            self._seen = {key: one for key, one in self._seen.items() if one.reference() is not None}
            self._prune_at = 2 * len(self._seen) + 1024


def _outside(module: Any, frame: FrameType | None) -> FrameType | None:
    """Return the frame that called the class of `module`, where its ``__init__`` runs."""
    outermost: FrameType | None = None
    while frame is not None:
        code = frame.f_code
        own = code.co_varnames[0] if code.co_name == "__init__" and code.co_argcount else ""
        if own and locals_of(frame).get(own) is module:
            outermost = frame
        frame = frame.f_back
    return outermost.f_back if outermost is not None else None
