"""Gradients of parameters, read off the engine's own accumulation: no hook, no extra read."""

from __future__ import annotations

from typing import Any

import torch

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.facts import fact_of
from graphdebug.backends.torch.looking import looker
from graphdebug.backends.torch.nodes import Raw
from graphdebug.model.event import Event, Gradient

__all__ = ["Gradients"]


class Gradients:
    """Watches recorded ops for the ones that leave a parameter's gradient."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._look = looker(recorder.options.level)
        self._pending: list[Event] = []
        self._users: dict[str, int] = {}
        recorder.watchers.append(self._watch)

    def drain(self) -> None:
        """Emit the gradients seen."""
        pending, self._pending = self._pending, []
        self._recorder.sink.emit(pending)
        self._users.clear()

    def detach(self) -> None:
        """Nothing was installed."""

    def _watch(self, raw: Raw, result: Any) -> None:
        if raw.phase == "forward":
            for _, trace in raw.inputs:
                if trace.origin == "parameter":
                    self._users.setdefault(trace.name, raw.seq)
        elif raw.parameter is not None and isinstance(result, torch.Tensor):
            self._gradient(raw, result)

    def _gradient(self, raw: Raw, result: torch.Tensor) -> None:
        trace = raw.outputs[0]
        look = trace.look
        if look is None and self._look is not None:
            with torch._C._DisableTorchDispatch():
                look = self._look(result)
        name = raw.parameter[0] if raw.parameter else ""
        producer = raw.inputs[0][1].seq if raw.op.views and raw.inputs else raw.seq
        sink = self._recorder.sink
        self._pending.append(
            Gradient(
                sink.next_seq(), raw.step, fact_of(trace.key, look), name, self._users.get(name), 0, producer
            )
        )
