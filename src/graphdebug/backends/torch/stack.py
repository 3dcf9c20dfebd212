"""The Python stack of a running op: the user's lines, the innermost module, and what called it."""

from __future__ import annotations

from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch.autograd import graph as autograd_graph
from torch.utils import checkpoint

from graphdebug.model.site import Position, SiteFinder

__all__ = ["Place", "StackReader", "locals_of"]

_OTHER, _USER, _LIBRARY, _MODULE, _ENGINE, _CHECKPOINT = range(6)
_CALLERS = 8
_OPTIMIZED = 1
"""co_flags bit of code whose frame's f_locals is a snapshot, not the namespace itself."""


class Place(NamedTuple):
    """Where an op ran."""

    positions: tuple[Position, ...]
    """User positions, innermost first."""
    module: Any
    """The innermost running module, or None."""
    in_backward: bool
    """Whether the engine's call was on the stack."""
    checkpoint: bool
    """Whether a checkpoint's code was on the stack, inside the engine's call if there is one."""


class StackReader:
    """Reads places off frames. Code objects are classified once each."""

    def __init__(self, sites: SiteFinder) -> None:
        self._sites = sites
        self._kinds: dict[CodeType, int] = {
            torch.nn.Module._call_impl.__code__: _MODULE,
            autograd_graph._engine_run_backward.__code__: _ENGINE,
        }
        self._checkpoint_file = checkpoint.__file__

    def is_engine(self, frame: FrameType | None) -> bool:
        """Whether an op called from `frame` was called by the autograd engine itself, not by Python code."""
        return frame is None or self._kinds.get(frame.f_code) == _ENGINE

    def read(self, frame: FrameType | None) -> Place:  # noqa: C901  # one loop: it runs once an op
        """Return the place of an op called from `frame`."""
        kinds = self._kinds
        positions: list[Position] = []
        library: Position | None = None
        module: Any = None
        engine = checkpointed = False
        while frame is not None:
            code = frame.f_code
            kind = kinds.get(code)
            if kind is None:
                kind = self._learn(code)
            if kind == _USER:
                if len(positions) <= _CALLERS:
                    positions.append((code, frame.f_lasti))
            elif kind == _MODULE:
                if module is None and not engine:
                    module = frame.f_locals.get("self")
            elif kind == _LIBRARY:
                library = library or (code, frame.f_lasti)
            elif kind == _ENGINE:
                engine = True
            elif kind == _CHECKPOINT and not engine:
                checkpointed = True
            frame = frame.f_back
        if not positions and library is not None:
            positions.append(library)
        return Place(tuple(positions), module, engine, checkpointed)

    def outer_modules(self, frame: FrameType | None) -> list[Any]:
        """Return the running modules, outermost first."""
        found = []
        while frame is not None:
            if self._kinds.get(frame.f_code) == _MODULE:
                found.append(frame.f_locals.get("self"))
            frame = frame.f_back
        return found[::-1]

    def user_frames(self, frame: FrameType | None) -> list[FrameType]:
        """Return the user's frames at or above `frame`, innermost first."""
        found = []
        while frame is not None:
            if self._sites.is_user(frame.f_code.co_filename):
                found.append(frame)
            frame = frame.f_back
        return found

    def _learn(self, code: CodeType) -> int:
        kind = _OTHER
        if self._sites.is_user(code.co_filename):
            kind = _USER
        elif code.co_filename == self._checkpoint_file:
            kind = _CHECKPOINT
        elif self._sites.is_library(code.co_filename):
            kind = _LIBRARY
        self._kinds[code] = kind
        return kind


def locals_of(frame: FrameType) -> dict[str, Any]:
    """Return a copy of a frame's local variables, leaving no references to them behind in the frame."""
    values = frame.f_locals
    copy = dict(values)
    if frame.f_code.co_flags & _OPTIMIZED and type(values) is dict and frame.f_trace is None:
        values.clear()  # before Python 3.13 this is a snapshot that would keep the tensors alive
    return copy
