"""Ranks of a distributed job: the gradients each optimizer is given, after the ranks have combined them."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.facts import fact_of, kind_of
from graphdebug.backends.torch.nodes.looking import looker
from graphdebug.model.event import Event, Gradient, TensorFact

__all__ = ["RankGradients"]


class RankGradients:
    """Records every parameter's gradient as an optimizer step begins, where there is more than one rank.

    A gradient that is split over ranks (FSDP) is looked at where it lies; no communication is started.
    """

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._look = looker(recorder.options.level)
        self._handle = register_optimizer_step_pre_hook(self._before)

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Take the hook back."""
        self._handle.remove()

    def _before(self, optimizer: Any, *_: Any) -> None:
        recorder = self._recorder
        if not recorder.sink.recording or recorder.options.gradients == "none" or not _is_many():
            return
        try:
            with recorder.muted(), torch.no_grad():
                recorder.sink.emit(self._gradients(optimizer))
        except Exception as error:
            recorder.sink.tool_error("recording combined gradients", error)

    def _gradients(self, optimizer: Any) -> list[Event]:
        sink = self._recorder.sink
        events: list[Event] = []
        for index, group in enumerate(optimizer.param_groups):
            for number, parameter in enumerate(group["params"]):
                if parameter.grad is None:
                    continue
                found = self._recorder.modules.name_of(parameter)
                name = found[1] if found is not None else f"param_groups[{index}].params[{number}]"
                fact, stage = self._fact(parameter, parameter.grad)
                events.append(Gradient(sink.next_seq(), sink.step, fact, name, stage=stage))
        return events

    def _fact(self, parameter: torch.Tensor, gradient: torch.Tensor) -> tuple[TensorFact, str]:
        flattened = getattr(parameter, "_fsdp_flattened", False)  # FullyShardedDataParallel says so
        local, stage = gradient, "shard" if flattened else "combined"
        if hasattr(gradient, "to_local"):
            local, stage = gradient.to_local(), "shard"
        kind = kind_of(local)
        return fact_of(kind, self._look(local, kind) if self._look is not None else None), stage


def _is_many() -> bool:
    distributed = torch.distributed
    return bool(
        distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    )
