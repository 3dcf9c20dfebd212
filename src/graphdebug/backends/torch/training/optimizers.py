"""Optimizers: each one that steps is declared once, with its settings and the parameters it was given."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.attributes import plain
from graphdebug.model.event import Declaration

__all__ = ["Optimizers"]

_MOST_NAMES = 2000


class Optimizers:
    """Declares optimizers after their first step, when the names of their parameters are known."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._declared: weakref.WeakSet[Any] = weakref.WeakSet()
        self._handle = register_optimizer_step_post_hook(self._stepped)

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Take the hook back."""
        self._handle.remove()

    def _stepped(self, optimizer: Any, *_: Any) -> None:
        if optimizer in self._declared:
            return
        self._declared.add(optimizer)
        try:
            self._declare(optimizer)
        except Exception as error:
            self._recorder.sink.tool_error("declaring an optimizer", error)

    def _declare(self, optimizer: Any) -> None:
        name_of, sink = self._recorder.modules.name_of, self._recorder.sink
        given = [one for group in optimizer.param_groups for one in group["params"] if one.requires_grad]
        names = [found[1] for tensor in given[:_MOST_NAMES] if (found := name_of(tensor)) is not None]
        settings = {
            key: plain(value)
            for key, value in optimizer.param_groups[0].items()
            if key != "params" and isinstance(value, bool | int | float | str | tuple)
        }
        name = self._recorder.modules.variable_name(optimizer, sys._getframe(2)) or "optimizer"
        kind = type(optimizer).__name__
        sink.emit([Declaration(sink.next_seq(), name, kind, attributes={**settings, "parameters": names})])
