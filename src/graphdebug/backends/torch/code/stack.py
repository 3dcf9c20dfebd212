"""The Python stack of a running op: the user's lines, the innermost module, and what called it."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

import torch
from torch.autograd import graph as autograd_graph
from torch.utils import checkpoint

from graphdebug.backends.torch.code.graphmodules import GENERATED, TracedLines
from graphdebug.backends.torch.native import RECORD
from graphdebug.model.event import Site
from graphdebug.model.site import Position, SiteFinder

__all__ = ["ENGINE_CALL", "MODULE_CALL", "Place", "StackReader", "is_generated", "locals_of"]

MODULE_CALL = torch.nn.Module._call_impl.__code__
"""The frame of a module's call: its ``self`` is the running module."""
ENGINE_CALL = autograd_graph._engine_run_backward.__code__
"""The frame that runs the autograd engine: ops called from right below it are the engine's own."""
_OTHER, _USER, _LIBRARY, _MODULE, _ENGINE, _CHECKPOINT, _GENERATED = range(7)
_CALLERS = 8
_MOST_PLACES = 50_000
_OPTIMIZED = 1
"""co_flags bit of code whose frame's f_locals is a snapshot, not the namespace itself."""


class Place:
    """A stack of user positions, innermost first, resolved to sites when first asked for."""

    __slots__ = ("_resolved", "_sites", "positions")

    def __init__(self, positions: tuple[Position, ...], sites: SiteFinder) -> None:
        self.positions = positions
        self._sites = sites
        self._resolved: tuple[Site | None, tuple[Site, ...]] | None = None

    def sites(self) -> tuple[Site | None, tuple[Site, ...]]:
        """Return the innermost site (None where no frame is the user's) and those around it."""
        if self._resolved is None:
            every = tuple(self._sites.resolve(one) for one in self.positions)
            self._resolved = (every[0] if every else None), every[1:]
        return self._resolved


class StackReader:
    """Reads places off frames. Files are classified once each; a place is made once each."""

    def __init__(self, sites: SiteFinder) -> None:
        self._sites = sites
        self._kinds = _Kinds(sites)
        self._traced = TracedLines(sites)
        self._places: dict[tuple[int, ...], Place] = {}
        self.walker = None if RECORD is None else RECORD.Walker()

    def read(self, frame: FrameType | None) -> tuple[Place, Any, bool]:
        """Return the place of an op called from `frame`, the innermost running module (or None), and
        whether a checkpoint's code is on the stack inside the engine's call.
        """
        if self.walker is not None and frame is not None:
            found: tuple[Place, Any, bool] | None = self.walker.read(frame, self)
            if found is not None:
                return found
        return self.read_slowly(frame)

    def read_slowly(  # noqa: C901  # runs once an op: calls cost more than branches
        self, frame: FrameType | None
    ) -> tuple[Place, Any, bool]:
        """Return what `read` does, for any stack."""
        kinds = self._kinds
        user: list[Any] = []
        library: tuple[Any, ...] = ()
        module: Any = None
        inside = True
        checkpointed = False
        while frame is not None:
            code = frame.f_code
            kind = kinds[code.co_filename]
            if kind:
                if kind == _USER:
                    if len(user) <= 2 * _CALLERS:
                        user += (code, frame.f_lasti)
                elif kind == _LIBRARY:
                    library = library or (code, frame.f_lasti)
                elif kind == _MODULE:
                    if module is None and inside and code is MODULE_CALL:
                        module = frame.f_locals.get("self")
                elif code is ENGINE_CALL:
                    inside = False
                elif kind == _GENERATED:
                    user += self._traced.of(frame)
                elif kind == _CHECKPOINT and inside:
                    checkpointed = True
            frame = frame.f_back
        return self.place_at(user or list(library)), module, checkpointed

    def outer_modules(self, frame: FrameType | None) -> list[Any]:
        """Return the running modules, outermost first."""
        found = []
        while frame is not None:
            if frame.f_code is MODULE_CALL:
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

    def classify(self, code: CodeType) -> int:
        """Return what a frame of `code` is, as one of this module's numbers."""
        kind = self._kinds[code.co_filename]
        tells = code is {_MODULE: MODULE_CALL, _ENGINE: ENGINE_CALL}.get(kind, code)
        return kind if tells else _OTHER

    def place_at(self, flat: list[Any]) -> Place:
        """Return the place of code objects and offsets, in turn."""
        key = tuple([id(one) if type(one) is CodeType else one for one in flat])
        place = self._places.get(key)
        if place is None:
            if len(self._places) > _MOST_PLACES:
                self._places.clear()
            positions = tuple(zip(flat[::2], flat[1::2], strict=True))
            place = self._places[key] = Place(positions, self._sites)
        return place


class _Kinds(dict[str, int]):
    """What a frame of a file may be, by the file's name; 0 for a frame that tells nothing."""

    def __init__(self, sites: SiteFinder) -> None:
        super().__init__(
            {
                MODULE_CALL.co_filename: _MODULE,
                ENGINE_CALL.co_filename: _ENGINE,
                checkpoint.__file__: _CHECKPOINT,
            }
        )
        self._sites = sites

    def __missing__(self, file: str) -> int:
        if file.startswith(GENERATED):
            kind = _GENERATED
        else:
            kind = _USER if self._sites.is_user(file) else _LIBRARY if self._sites.is_library(file) else _OTHER
        self[file] = kind
        return kind


def is_generated(code: CodeType) -> bool:
    """Whether dynamo wrote this code: its lines are not the user's."""
    converting = sys.modules.get("torch._dynamo.convert_frame")
    return converting is not None and code in converting.output_codes


def locals_of(frame: FrameType) -> dict[str, Any]:
    """Return a copy of a frame's local variables, leaving no references to them behind in the frame."""
    values = frame.f_locals
    copy = dict(values)
    if frame.f_code.co_flags & _OPTIMIZED and type(values) is dict and frame.f_trace is None:
        values.clear()  # before Python 3.13 this is a snapshot that would keep the tensors alive
    return copy
