"""Steps: found from optimizers, through torch's own global hooks around ``Optimizer.step``."""

from __future__ import annotations

import sys
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from graphdebug.backends.torch.eager import EagerRecorder

__all__ = ["Steps"]


class Steps:
    """Marks the optimizer phase, and the end of a step after it."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._handles = [
            register_optimizer_step_pre_hook(self._before), register_optimizer_step_post_hook(self._after)
        ]  # fmt: skip

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Take the hooks back."""
        for handle in self._handles:
            handle.remove()

    def _before(self, optimizer: Any, *_: Any) -> None:
        thread = self._recorder.thread()
        thread.optimizing += 1
        thread.place = None
        if type(optimizer).__module__.startswith("torch."):
            thread.place = self._recorder.stack.read(sys._getframe(1))[0]

    def _after(self, *_: Any) -> None:
        thread = self._recorder.thread()
        thread.optimizing = max(thread.optimizing - 1, 0)
        thread.place = None
        self._recorder.step_ended = True
