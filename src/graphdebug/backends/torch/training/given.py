"""Given: the gradients that optimizers are given as a step begins, combined over ranks, and their sizes."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.facts import fact_of, kind_of
from graphdebug.backends.torch.nodes.looking import looker
from graphdebug.model.event import Event, Gradient, Notice, TensorFact

__all__ = ["GivenGradients"]

_SIZED = 8
"""Steps from the first whose gradients are measured at level health; later ones at powers of two."""
_IDLE = 3
"""Steps in a row with next to no learning rate after which a notice says so."""
_NOTHING = 1e-7
"""Part of the largest learning rate below which steps are lost in the spacing of float32."""


class GivenGradients:
    """Records every parameter's gradient as an optimizer step begins, where there is more than one rank, and at
    level health in few of the steps: with statistics, so that the default level shows how gradients go.

    A gradient that is split over ranks (FSDP) is looked at where it lies; no communication is started.
    """

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        level = recorder.options.level
        self._look = looker(level)
        self._measure = looker("stats") if level == "health" else None
        self._rates: weakref.WeakKeyDictionary[Any, tuple[float, int]] = weakref.WeakKeyDictionary()
        """Of each optimizer, its largest learning rate, and the steps in a row with next to none of it."""
        self._handle = register_optimizer_step_pre_hook(self._before)

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Take the hook back."""
        self._handle.remove()

    def _before(self, optimizer: Any, *_: Any) -> None:
        recorder = self._recorder
        sink = recorder.sink
        if not sink.recording:
            return
        try:
            self._watch_rate(optimizer)
            step, many = sink.step, _is_many()
            sized = self._measure is not None and (step < _SIZED or not step & (step - 1))
            if recorder.options.gradients == "none" or not (many or sized):
                return
            recorder.flush()  # what made them comes first
            with recorder.muted(), torch.no_grad():
                sink.emit(self._gradients(optimizer, self._measure if sized else self._look, many))
        except Exception as error:
            sink.tool_error("recording the gradients of a step", error)

    def _gradients(self, optimizer: Any, look: Any, many: bool) -> list[Event]:
        sink = self._recorder.sink
        events: list[Event] = []
        for index, group in enumerate(optimizer.param_groups):
            for number, parameter in enumerate(group["params"]):
                if parameter.grad is None:
                    continue
                found = self._recorder.modules.name_of(parameter)
                name = found[1] if found is not None else f"param_groups[{index}].params[{number}]"
                if not many and found is None:
                    continue
                fact, stage = _fact(parameter, parameter.grad, look)
                events.append(
                    Gradient(sink.next_seq(), sink.step, fact, name, stage=stage if many else "given")
                )
        return events

    def _watch_rate(self, optimizer: Any) -> None:
        """Say so once where an optimizer goes on with a learning rate of next to nothing."""
        rates = [group.get("lr") for group in optimizer.param_groups]
        if any(type(rate) not in (int, float) for rate in rates):
            return
        rate = max(rates)
        most, idle = self._rates.get(optimizer, (rate, 0))
        idle = idle + 1 if rate <= _NOTHING * most else 0
        self._rates[optimizer] = max(most, rate), idle
        if idle == _IDLE:
            recorder = self._recorder
            sink, frame = recorder.sink, sys._getframe(2)
            name = recorder.modules.variable_name(optimizer, frame) or "optimizer"
            schedule = recorder.modules.holder(optimizer, "optimizer", frame)
            text = f"{name} makes its steps with a learning rate of {rate:.3g}"
            site, callers = recorder.stack.read(frame)[0].sites()
            frames = [{"file": one.file, "line": one.line} for one in (site, *callers) if one is not None]
            first = sink.step - _IDLE + 1
            detail = {"optimizer": name, "schedule": schedule, "first_step": first, "frames": frames,
                      "rate": rate, "most": most}  # fmt: skip
            sink.emit([Notice(sink.next_seq(), "idle_optimizer", text, site, detail)])


def _fact(parameter: torch.Tensor, gradient: torch.Tensor, look: Any) -> tuple[TensorFact, str]:
    flattened = getattr(parameter, "_fsdp_flattened", False)  # FullyShardedDataParallel says so
    local, stage = gradient, "shard" if flattened else "combined"
    if hasattr(gradient, "to_local"):
        local, stage = gradient.to_local(), "shard"
    kind = kind_of(local)
    return fact_of(kind, look(local, kind) if look is not None else None), stage


def _is_many() -> bool:
    distributed = torch.distributed
    return bool(
        distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    )
