"""Steps: found from optimizers, through torch's own global hooks around ``Optimizer.step``."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from graphdebug.backends.torch.eager import EagerRecorder

__all__ = ["Steps"]


class Steps:
    """Marks the optimizer phase, and the end of a step after it.

    Several optimizers that step in turn (a GAN's) end a step once a round, as soon as a round has been seen.
    """

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._followed: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        """Optimizer -> a reference to the one that stepped after it."""
        self._first: Any = None
        self._last: Any = None
        self._in_turn = True
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

    def _after(self, optimizer: Any, *_: Any) -> None:
        thread = self._recorder.thread()
        thread.optimizing = max(thread.optimizing - 1, 0)
        thread.place = None
        if self._ends_round(optimizer):
            self._recorder.step_ended = True

    def _ends_round(self, optimizer: Any) -> bool:
        """Return False where another optimizer than the first has followed this one each time so far."""
        this = weakref.ref(optimizer)
        before = None if self._last is None else self._last()
        self._last = this
        if self._first is None:
            self._first = this
        if before is not None and self._followed.setdefault(before, this) != this:
            self._in_turn = False
        follower = self._followed.get(optimizer)
        return not self._in_turn or follower is None or follower() is None or follower == self._first
