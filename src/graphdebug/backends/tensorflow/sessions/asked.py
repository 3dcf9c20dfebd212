"""One call of `Session.run`, as the user asked for it, and whether it is a step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np

from graphdebug.backends.tensorflow.sessions.repeats import Repeat
from graphdebug.model.event import Shape, Site

__all__ = ["RunCall", "is_step", "roots"]

_TENSORFLOW = f"{os.sep}tensorflow{os.sep}python{os.sep}"
_HOUSEKEEPING = ("session_manager.py", "saver.py", "basic_session_run_hooks.py")
"""Modules of TensorFlow that run things for a training loop's sake."""
_OTHER, _FRAMEWORK, _KEEPING_HOUSE = 0, 1, 2
_kinds_of_code: dict[CodeType, int] = {}


@dataclass(slots=True)
class RunCall:
    """What the user asked a session to do."""

    session: Any
    fetches: Sequence[Any]
    targets: Sequence[Any]
    feeds: Mapping[Any, Any]
    """Fed arrays by ``Tensor.ref()``."""
    frame: FrameType | None
    thread: int
    ran_at: Site | None = None
    """The user's line that ran it, where the frame is not kept."""
    reads: Sequence[Any] | None = None
    """Values of `Probed.reads` before the run, where they could be read."""
    before: Any = None
    """Numbers of `Probed.before_fetch`, likewise."""
    kind: Any = None
    """What it has in common with runs like it."""
    like: Repeat | None = None
    """An earlier run like it."""
    checks: bool = False
    """Whether the shapes that it had are fetched, to be held against the inferred ones."""

    @property
    def roots(self) -> Any:
        """What tells it from calls that fetch and run something else."""
        return roots(self.fetches, self.targets)

    @property
    def is_local(self) -> bool:
        """Whether the session computes in this process's main memory: fetching a tensor copies nothing then."""
        devices = self.session.list_devices()
        return not self.session.sess_str and all(one.device_type == "CPU" for one in devices)

    @property
    def feed_shapes(self) -> dict[Any, Shape]:
        """Shapes of the fed arrays by ``Tensor.ref()``."""
        return {ref: tuple(np.shape(value)) for ref, value in self.feeds.items()}


def is_step(fetches: Sequence[Any], targets: Sequence[Any], frame: FrameType | None) -> bool:
    """Whether a run is a step of the user's, not one that fills a queue, initializes, saves or restores."""
    if not fetches and all("Enqueue" in op.type or "QueueClose" in op.type for op in targets):
        return False
    while frame is not None:
        kind = _kinds_of_code.get(frame.f_code)
        if kind is None:
            kind = _kinds_of_code[frame.f_code] = _kind_of_file(frame.f_code.co_filename)
        if kind != _FRAMEWORK:
            return kind == _OTHER
        frame = frame.f_back
    return True


def _kind_of_file(filename: str) -> int:
    if _TENSORFLOW not in filename:
        return _OTHER
    return _KEEPING_HOUSE if filename.endswith(_HOUSEKEEPING) else _FRAMEWORK


def roots(fetches: Sequence[Any], targets: Sequence[Any]) -> Any:
    """Return what tells a call of these fetches and targets from others."""
    return *map(id, fetches), None, *map(id, targets)
