"""A region that torch.compile captured: its forward and backward graph, and where their inputs come from."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import fx

from graphdebug.backends.torch.compiled_call import GraphCall
from graphdebug.backends.torch.compiled_graph import GraphTable, attribute_path
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.facts import describe
from graphdebug.backends.torch.origins import Trace, version_of
from graphdebug.model.event import Notice, Origin, Site

__all__ = ["Region"]


class Region:
    """One capture. Knows its runs, so that a backward finds the forward it belongs to.

    Args:
        recorder: the recorder of the block.
        module: the graph as dynamo captured it; its placeholders say which variable each input was.

    """

    def __init__(self, recorder: EagerRecorder, module: fx.GraphModule) -> None:
        self.recorder = recorder
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        self._sources = [_source_of(node) for node in placeholders]
        self._roots = {source.partition(".")[0] for source in self._sources}
        self._forwards: dict[int, GraphCall] = {}
        """Runs of the forward graph by the address of a tensor that they saved for backward."""
        self._latest: GraphCall | None = None

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
        self.recorder.sink.emit(call.events())

    def begin(self, table: GraphTable, arguments: Sequence[Any], frame: FrameType) -> GraphCall:
        """Return the record of a run that is about to start."""
        recorder, sink = self.recorder, self.recorder.sink
        optimizing = recorder.open_step()
        place = recorder.stack.read(frame)
        prefix = recorder.modules.path(place.module, frame) if place.module is not None else ""
        forward = self._forward_of(table, arguments) if table.backward else None
        runs_at = tuple(sink.sites.resolve(one) for one in place.positions if not _is_generated(one[0]))
        call = GraphCall(
            table, [sink.next_seq() for _ in table.steps], sink.step,
            "backward" if table.backward else "optimizer" if optimizing else "forward",
            runs_at, forward.prefix if forward else prefix,
            [self._trace(table, i, value, forward) for i, value in enumerate(arguments)],
        )  # fmt: skip
        call.forward, call.thread, call.began = forward, threading.get_ident(), sink.now()
        return call

    def ended(self, call: GraphCall, outputs: Sequence[Any]) -> None:
        """Remember where the outputs come from, for those who will be given them."""
        for place, value in zip(call.table.outputs, outputs, strict=False):
            if not isinstance(value, torch.Tensor) or place is None or place[0] != "step":
                continue
            trace = call.trace(place)
            if trace is not None:
                full = trace._replace(key=describe(value), ref=weakref.ref(value), version=version_of(value))
                self.recorder.origins.put(value, full)
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
        name = table.inputs[index]
        if forward is not None and name in forward.table.places:
            saved = forward.trace(forward.table.places[name])
            if saved is not None:
                return saved
        found = self.recorder.modules.name_of(value)
        if found is not None:
            writer = self.recorder.origins.writer(value, version_of(value))
            return Trace(describe(value), writer, 0, found[1], found[0])
        known = self.recorder.origins.get(value)
        if known is not None:
            return known
        source, origin = "", "argument"
        if forward is None and not table.backward and index < len(self._sources) == len(table.inputs):
            source, origin = _named(self._sources[index])
        return Trace(describe(value), None, 0, _origin(origin), source)


def _source_of(node: fx.Node) -> str:
    source = getattr(node, "_dynamo_source", None)
    return str(getattr(source, "name", "")) if source is not None else ""


def _named(source: str) -> tuple[str, str]:
    """Name and origin of an input, by the expression that dynamo read it with."""
    path = attribute_path(source)
    if "_parameters[" in source:
        return path, "parameter"
    if "_buffers[" in source:
        return path, "buffer"
    return path or source.strip("LG[]'"), "argument"


def _origin(word: str) -> Origin:
    return word  # type: ignore[return-value]  # one of three literals, from _named


def _address(value: torch.Tensor) -> int:
    try:
        return int(value.data_ptr())
    except (RuntimeError, NotImplementedError):
        return 0


def _is_generated(code: Any) -> bool:
    """Whether dynamo wrote this code: its lines are not the user's."""
    from torch._dynamo.convert_frame import output_codes

    return code in output_codes
