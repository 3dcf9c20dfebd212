"""Breakpoints on values: the debugger opens at the user's own line, with the tensor that set it off."""

from __future__ import annotations

import os
import pdb  # noqa: T100  # opening the debugger is what this part is for
import sys
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import torch

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.facts import fact_of, kind_of
from graphdebug.backends.torch.nodes.looking import looker
from graphdebug.backends.torch.nodes.writing import Raw

__all__ = ["Breakpoints"]

_NAME = "offending"
"""What the tensor is called at the debugger's prompt."""


class Breakpoints:
    """Watches the outputs of recorded ops for the recording's `break_on`."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._look = looker("health")
        condition = recorder.options.break_on
        self._predicate: Callable[..., bool] | None = condition if callable(condition) else None
        if condition is not None and os.environ.get("PYTHONBREAKPOINT") != "0":
            recorder.watchers.append(self._watch)

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Nothing was installed."""

    def _watch(self, raw: Raw, result: Any) -> None:
        for value in result if isinstance(result, list | tuple) else (result,):
            if isinstance(value, torch.Tensor) and self._wanted(raw, value):
                self._break(raw, value)
                return

    def _wanted(self, raw: Raw, value: torch.Tensor) -> bool:
        if self._predicate is not None:
            (node, *_) = self._recorder.builder.build([tuple(raw)], 0.0)
            return bool(self._predicate(node, value))
        if raw.op.views or raw.op.unborn or self._look is None:
            return False
        kind = kind_of(value)
        return fact_of(kind, self._look(value, kind)).finite is False

    def _break(self, raw: Raw, value: torch.Tensor) -> None:
        frame = next(iter(self._recorder.stack.user_frames(sys._getframe(1))), None)
        if frame is None:
            return
        self._recorder.flush()
        shape = "x".join(map(str, value.shape)) or "a scalar"
        site = self._recorder.builder.site_of(raw.forward) if raw.forward is not None else None
        born = f", the gradient of {os.path.basename(site.file)}:{site.line}" if site is not None else ""
        print(f"graphdebug: {raw.op.name} ({raw.phase.split()[0]}) made {_NAME}, {shape}{born}")
        debugger = _Debugger(value)
        debugger.reset()
        debugger.interaction(frame, None)


class _Debugger(pdb.Pdb):
    """A debugger that knows one more name."""

    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self._value = value

    def setup(self, f: FrameType | None, tb: TracebackType | None) -> None:
        super().setup(f, tb)
        names: Any = self.curframe_locals
        names[_NAME] = self._value
