"""Optimizers: the line that made each, its settings, its parameters and their size; those that never step."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from graphdebug.backends.torch.code.stack import Place
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.attributes import plain
from graphdebug.backends.torch.nodes.facts import fact_of, kind_of
from graphdebug.backends.torch.nodes.looking import looker
from graphdebug.model.event import Declaration, Notice

__all__ = ["Optimizers"]

_MOST_NAMES = 2000
_MOST_SHAPES = 64
_MOST_MADE = 100
"""Optimizers that wait for their first step."""


class Optimizers:
    """Declares optimizers after their first step, when the names of their parameters are known; at the end, a
    notice tells those that never made one.
    """

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._measure = None if recorder.options.level == "shapes" else looker("stats")
        self._declared: weakref.WeakSet[Any] = weakref.WeakSet()
        self._made: dict[int, tuple[str, Place]] = {}
        """Those that made no step yet: their class and where they were made."""
        self._sizes: list[float | None] = []
        """L2 norms of the parameters of the optimizer that makes its first step just now."""
        self._plain: Any = Optimizer.__init__
        self._ours = self._listening(self._plain)
        Optimizer.__init__ = self._ours
        self._handles = [
            register_optimizer_step_pre_hook(self._steps), register_optimizer_step_post_hook(self._stepped)
        ]  # fmt: skip

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Take the hooks back, and tell of the optimizers that never stepped."""
        for handle in self._handles:
            handle.remove()
        if Optimizer.__init__ is self._ours:
            Optimizer.__init__ = self._plain
        sink = self._recorder.sink
        for kind, place in self._made.values():
            site, callers = place.sites()
            frames = [{"file": one.file, "line": one.line} for one in callers]
            text = f"an optimizer ({kind}) was made and never asked for a step"
            detail = {"optimizer": kind, "frames": frames}
            sink.emit([Notice(sink.next_seq(), "never_stepped", text, site, detail)])

    def _listening(self, plain: Callable[..., None]) -> Callable[..., None]:
        """Return an ``__init__`` that does what the plain one does and notes who called it."""

        @wraps(plain)
        def __init__(optimizer: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # stands in for it
            try:
                plain(optimizer, *args, **kwargs)
            except BaseException as error:
                if error.__traceback__ is not None:
                    error.__traceback__ = error.__traceback__.tb_next  # without us this frame is not there
                raise
            try:
                self._note(optimizer)
            except Exception as error:
                self._recorder.sink.tool_error("looking at the line that makes an optimizer", error)

        return __init__

    def _note(self, optimizer: Any) -> None:
        if len(self._made) < _MOST_MADE and self._recorder.sink.recording:
            place = self._recorder.stack.read(sys._getframe(2))[0]
            self._made[id(optimizer)] = type(optimizer).__name__, place

    def _steps(self, optimizer: Any, *_: Any) -> None:
        """Measure the parameters as they are before the first step."""
        if optimizer in self._declared:
            return
        try:
            self._sizes = [self._size(one) for one in _trained(optimizer)] if self._measure is not None else []
        except Exception as error:
            self._recorder.sink.tool_error("measuring the parameters of an optimizer", error)

    def _size(self, parameter: torch.Tensor) -> float | None:
        assert self._measure is not None
        with self._recorder.muted(), torch.no_grad():
            local = parameter.to_local() if hasattr(parameter, "to_local") else parameter
            kind = kind_of(local)
            stats = fact_of(kind, self._measure(local, kind)).stats
        return None if stats is None or stats.l2 is None else float(stats.l2)

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
        given = _trained(optimizer)
        named = [found[1] if (found := name_of(one)) is not None else "" for one in given[:_MOST_NAMES]]
        settings = {
            key: plain(value)
            for key, value in optimizer.param_groups[0].items()
            if key != "params" and isinstance(value, bool | int | float | str | tuple)
        }
        sizes = dict(zip(named, self._sizes, strict=False))
        self._sizes = []
        nameless = [one for one, known in zip(given, named, strict=False) if not known]
        about: dict[str, Any] = {
            **settings,
            "parameters": [one for one in named if one],
            "sizes": {one: size for one, size in sizes.items() if one and size is not None},
            "nameless": [list(one.shape) for one in nameless[:_MOST_SHAPES]],
        }
        name = self._recorder.modules.variable_name(optimizer, sys._getframe(2)) or "optimizer"
        kind, made = type(optimizer).__name__, self._made.pop(id(optimizer), None)
        site, callers = made[1].sites() if made is not None else (None, ())
        how = "traceback" if site is not None else ""
        sink.emit([Declaration(sink.next_seq(), name, kind, site, how, about, callers=callers)])


def _trained(optimizer: Any) -> list[torch.Tensor]:
    """Return the parameters that an optimizer may change."""
    return [one for group in optimizer.param_groups for one in group["params"] if one.requires_grad]
