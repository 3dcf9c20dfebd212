"""Gradients beside those that backward leaves in parameters: of every forward tensor (``gradients="all"``),
seen as they enter each autograd node, and those that are asked for by name.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import torch

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.facts import fact_of, kind_of
from graphdebug.backends.torch.nodes.looking import looker
from graphdebug.backends.torch.nodes.records import Raw
from graphdebug.backends.torch.training.requested import Hooked, RequestedGradients
from graphdebug.model.event import Event, Gradient

__all__ = ["Gradients"]


class Gradients:
    """Puts a hook before the autograd node of each forward output; the hooks hold numbers, not tensors."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._look = looker(recorder.options.level)
        self._fresh: list[tuple[weakref.ref[Any], int, int]] = []
        """Outputs whose autograd node does not exist yet: it does when the next op runs."""
        self._handles: list[Any] = []
        self._arrived: deque[Hooked] = deque()
        self._requested = RequestedGradients(recorder, self._arrived)
        self._open = True
        if recorder.options.gradients == "all":
            recorder.sink.whole_steps = True
            recorder.watchers.append(self._watch)

    def drain(self) -> None:
        """Emit the gradients seen."""
        events: list[Event] = []
        while self._arrived:
            one = self._arrived.popleft()
            site = self._recorder.builder.site_of(one.node)
            events.append(Gradient(one.seq, one.step, one.fact, "", one.node, one.output, one.producer, site))
        self._recorder.sink.emit(events)
        self._handles = [handle for handle in self._handles if handle.hooks_dict_ref() is not None]

    def detach(self) -> None:
        """Take the hooks back."""
        self._requested.detach()
        self._open = False
        for handle in self._handles:
            handle.remove()

    def _watch(self, raw: Raw, result: Any) -> None:
        fresh, self._fresh = self._fresh, []
        for reference, seq, output in fresh:
            tensor = reference()
            if tensor is not None and tensor.grad_fn is not None:
                self._hook(tensor, seq, output)
        if raw.phase.startswith("forward"):
            many = result if isinstance(result, list | tuple) else (result,)
            self._fresh = [
                (weakref.ref(one), raw.seq, index)
                for index, one in enumerate(many)
                if isinstance(one, torch.Tensor) and one.dtype.is_floating_point
            ]

    def _hook(self, tensor: torch.Tensor, seq: int, output: int) -> None:
        number = tensor.output_nr

        def before(gradients: tuple[Any, ...]) -> None:
            if self._open and number < len(gradients) and gradients[number] is not None:
                try:
                    self._take(gradients[number], seq, output)
                except Exception as error:
                    self._recorder.sink.tool_error("recording a gradient", error)

        assert tensor.grad_fn is not None
        self._handles.append(tensor.grad_fn.register_prehook(before))

    def _take(self, gradient: torch.Tensor, seq: int, output: int) -> None:
        recorder = self._recorder
        if not recorder.sink.recording:
            return
        with recorder.muted():
            kind = kind_of(gradient)
            trace = recorder.origins.get(gradient)
            known = trace[5] if trace is not None else None
            look = known if known is not None or self._look is None else self._look(gradient, kind)
        producer = trace[2] if trace is not None else None
        sink = recorder.sink
        fact = fact_of(kind, look)
        self._arrived.append(Hooked(sink.next_seq(), sink.step, fact, seq, output, producer))
