"""Gradients that the user asks of ``torch.autograd.grad`` and ``torch.func``: the engine accumulates none."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.facts import fact_of, in_memory, kind_of
from graphdebug.backends.torch.nodes.looking import looker
from graphdebug.model.event import Gradient, TensorFact

__all__ = ["Hooked", "RequestedGradients"]

_BATCHED = torch._C._parse_dispatch_key("Batched")
_INPUTS = 3
"""Place of the tensors asked about among the engine's arguments after the outputs."""


class Hooked(NamedTuple):
    """A gradient of a forward output, as a hook saw it."""

    seq: int
    step: int
    fact: TensorFact
    node: int
    """The forward node."""
    output: int
    producer: int | None


class RequestedGradients:
    """Stands before the autograd engine, whose answer holds the gradients of what was asked about.

    Those of leaves are always recorded, those of other tensors with ``gradients="all"``.

    Args:
        recorder: the recorder of the block.
        hooked: gradients that hooks saw on the way, in order: what it has is not recorded again.

    """

    def __init__(self, recorder: EagerRecorder, hooked: Collection[Hooked]) -> None:
        self._recorder = recorder
        self._hooked = hooked
        self._look = looker(recorder.options.level)
        self._plain: Any = torch.autograd._engine_run_backward
        self._ours: Any = self._run
        if recorder.options.gradients != "none":
            torch.autograd._engine_run_backward = self._ours

    def detach(self) -> None:
        """Give autograd its engine back."""
        if torch.autograd._engine_run_backward is self._ours:
            torch.autograd._engine_run_backward = self._plain

    def _run(self, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        before = len(self._hooked)
        try:
            found = self._plain(outputs, *args, **kwargs)
        except BaseException as error:
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next  # without us this frame is not there
            raise
        recorder = self._recorder
        if not kwargs.get("accumulate_grad", True) and recorder in _get_current_dispatch_mode_stack():
            try:
                if recorder.sink.recording:
                    recorder.sink.whole_steps = True
                    self._record(args[_INPUTS], found, list(islice(self._hooked, before, None)))
            except Exception as error:
                recorder.sink.tool_error("recording gradients that were asked for", error)
        return found

    def _record(self, asked: Sequence[Any], gradients: Sequence[Any], hooked: Sequence[Hooked]) -> None:
        recorder = self._recorder
        recorder.flush()  # the forward nodes that they are tied to
        with recorder.muted():
            events = [
                self._event(one, gradient)
                for one, gradient in zip(asked, gradients, strict=True)
                if isinstance(gradient, Tensor)
            ]
        seen: set[tuple[int | None, int]] = {(one.node, one.output) for one in hooked}
        kept = [event for event in events if event is not None]
        recorder.sink.emit([one for one in kept if one.name or (one.node, one.output) not in seen])

    def _event(self, asked: Any, gradient: Tensor) -> Gradient | None:
        recorder, sink = self._recorder, self._recorder.sink
        if isinstance(asked, GradientEdge):
            asked = getattr(asked.node, "variable", None)
        if asked is None or not (asked.is_leaf or recorder.options.gradients == "all"):
            return None
        leaf, asked, gradient = asked.is_leaf, in_memory(asked), _in_memory(gradient)
        source, made = recorder.origins.get(asked), recorder.origins.get(gradient)
        kind = kind_of(gradient)
        look = made[5] if made is not None else None
        if look is None and self._look is not None:
            look = self._look(gradient, kind)
        named = recorder.modules.name_of(asked)
        name = named[1] if named is not None else ""
        if leaf and named is None:
            name = recorder.modules.variable_name(asked, sys._getframe(3))
        node = source[2] if source is not None else None
        return Gradient(
            sink.next_seq(), sink.step, fact_of(kind, look), name,
            recorder.builder.user_of(name, node), source[3] if source is not None and not name else 0,
            made[2] if made is not None else None,
        )  # fmt: skip


def _in_memory(tensor: Tensor) -> Tensor:
    """The tensor in memory; of gradients asked for in a batch (``is_grads_batched``), that of the batch."""
    if torch._C._dispatch_keys(tensor).has(_BATCHED):
        level = torch._C._vmapmode_increment_nesting() - 1
        torch._C._vmapmode_decrement_nesting()
        return torch._remove_batch_dim(tensor, level, 1, 0)
    return in_memory(tensor)
