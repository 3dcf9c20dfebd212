"""A region that torch.compile captured: its forward and backward graph, and where their inputs come from."""

from __future__ import annotations

import ast
import threading
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import fx

from graphdebug.backends.torch.code.callsite import Names, value_of
from graphdebug.backends.torch.code.stack import is_generated
from graphdebug.backends.torch.compiled.call import GraphCall
from graphdebug.backends.torch.compiled.graph import GraphTable, name_of_input, owner_of_input
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.facts import kind_of
from graphdebug.backends.torch.nodes.origins import Trace, trace_of, version_of
from graphdebug.model.event import Notice, Origin, Site

__all__ = ["Region", "trace_of_input"]

_FRAMES = 40
"""Frames around a graph in which the modules that it uses are looked for."""


class Region:
    """One capture. Knows its runs, so that a backward finds the forward it belongs to.

    Args:
        recorder: the recorder of the block.
        module: the graph as dynamo captured it; its placeholders say which variable each input was.

    """

    def __init__(self, recorder: EagerRecorder, module: fx.GraphModule) -> None:
        self.recorder = recorder
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        self._names = [name_of_input(node) for node in placeholders]
        self._owners = {owner for node in placeholders if (owner := owner_of_input(node)) is not None}
        """What the compiled function calls the modules whose parameters it takes, until they are known."""
        self._forwards: dict[int, GraphCall] = {}
        """Runs of the forward graph by the address of a tensor that they saved for backward."""
        self._holds = False
        """Whether what the captured module holds in plain lists was declared."""
        self._latest: GraphCall | None = None
        self.raised: tuple[str, GraphCall] | None = None
        """What a graph raised last, in words, and that run of it, whose last node is the failing one."""

    @property
    def recording(self) -> bool:
        """Whether nodes are wanted now."""
        return self.recorder.sink.recording

    def notice(self, topic: str, text: str, site: Site | None = None) -> None:
        """Say something about this region in the log."""
        sink = self.recorder.sink
        sink.emit([Notice(sink.next_seq(), topic, text, site)])

    def emit(self, call: GraphCall) -> None:
        """Write the nodes of a run, after those of the eager ops before it."""
        self.recorder.flush()
        filters, nodes = self.recorder.filters, call.nodes()
        if filters.active:
            steps = zip(call.table.steps, nodes, strict=False)
            nodes = [node for step, node in steps if filters.wants(step.op, node.phase, node.module)]
        self.recorder.sink.emit(nodes)

    def begin(self, table: GraphTable, arguments: Sequence[Any], frame: FrameType) -> GraphCall:
        """Return the record of a run that is about to start."""
        recorder, sink = self.recorder, self.recorder.sink
        optimizing = recorder.open_step()
        place, module, _ = recorder.stack.read(frame)
        prefix = recorder.modules.path(module, frame) if module is not None else ""
        if module is not None and not self._holds:
            self._holds = True
            recorder.modules.hold(module)

        if self._owners:
            self._declare_owners(frame)
        forward = self._forward_of(table, arguments) if table.backward else None
        backward = table.backward or torch._C._current_graph_task_id() != -1  # compiled autograd
        runs_at = tuple(sink.sites.resolve(one) for one in place.positions if not is_generated(one[0]))
        call = GraphCall(
            table, [sink.next_seq() for _ in table.steps], sink.step,
            "backward" if backward else "optimizer" if optimizing else "forward",
            runs_at, forward.prefix if forward else prefix,
            [self._trace(table, i, value, forward) for i, value in enumerate(arguments)],
        )  # fmt: skip
        call.forward, call.thread, call.began = forward, threading.get_ident(), sink.now()
        return call

    def _declare_owners(self, frame: FrameType) -> None:
        """Declare the modules that the compiled function uses, and that no eager call has shown."""
        owners, self._owners = self._owners, set()
        outer: FrameType | None = frame
        for _ in range(_FRAMES):
            if outer is None:
                break
            for owner in owners:
                found = value_of(ast.parse(owner, mode="eval").body, Names(outer))
                if isinstance(found, torch.nn.Module):
                    self.recorder.modules.path(found, outer)
            outer = outer.f_back

    def ended(self, call: GraphCall, outputs: Sequence[Any]) -> None:
        """Remember where the outputs come from, for those who will be given them."""
        for place, value in zip(call.table.outputs, outputs, strict=False):
            if not isinstance(value, torch.Tensor) or place is None or place[0] != "step":
                continue
            trace = call.trace(place)
            if trace is not None:
                self.recorder.origins.put(value, (*trace[:4], kind_of(value), *trace[5:]))
            if not call.table.backward:
                self._forwards[_address(value)] = call
        if not call.table.backward:
            self._latest = call

    def wrote(self, call: GraphCall, arguments: Mapping[int, Any]) -> None:
        """Remember the inputs that the graph wrote in place."""
        for index, step in call.table.mutated.items():
            value = arguments[index]
            if isinstance(value, torch.Tensor):
                self.recorder.origins.wrote(value, call.seqs[step], version_of(value))

    def forget(self) -> None:
        """A step ended: runs whose backward has not come by now are forgotten, but for the last one."""
        self._forwards.clear()

    def _forward_of(self, table: GraphTable, arguments: Sequence[Any]) -> GraphCall | None:
        for name, value in zip(table.inputs, arguments, strict=False):
            if isinstance(value, torch.Tensor) and not name.startswith(("primals_", "tangents_")):
                found = self._forwards.get(_address(value))
                if found is not None and name in found.table.places:
                    return found
        return self._latest

    def _trace(self, table: GraphTable, index: int, value: Any, forward: GraphCall | None) -> Trace | None:
        if not isinstance(value, torch.Tensor):
            return None
        place = forward.table.places.get(table.inputs[index]) if forward is not None else None
        if forward is not None and place is not None:
            saved = forward.trace(place)
            if saved is not None:
                return saved
        return trace_of_input(self.recorder, value, *self._name(table, index))

    def _name(self, table: GraphTable, index: int) -> tuple[str, Origin]:
        """Name and origin of an input of a forward graph, whose inputs are those that dynamo captured."""
        if table.backward or len(self._names) != len(table.inputs):
            return "", "argument"
        return self._names[index]


def trace_of_input(recorder: EagerRecorder, value: torch.Tensor, name: str, origin: Origin) -> Trace:
    """Return what is known of a tensor that a graph is given; `name` and `origin` are dynamo's words for it."""
    found = recorder.modules.name_of(value)
    if found is not None:
        writer = recorder.origins.writer(value, version_of(value))
        return trace_of(kind_of(value), writer, named=found[:2])
    known = recorder.origins.get(value)
    if known is not None and (origin == "argument" or known[6] is not None):
        return known
    return trace_of(kind_of(value), known[2] if known is not None else None, named=(origin, name))


def _address(value: torch.Tensor) -> int:
    try:
        return int(value.data_ptr())
    except (RuntimeError, NotImplementedError):
        return 0
