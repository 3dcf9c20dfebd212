"""Graph: the layers that lead to a symbolic tensor, as the user joined them; told as nodes when one fails."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from types import FrameType
from typing import Any

from graphdebug.backends.keras.layers import Layers, fact_of
from graphdebug.backends.keras.words import attributes_of, family_of, function_of
from graphdebug.backends.protocol import Sink
from graphdebug.model.event import Event, Node, Operand, Site
from graphdebug.model.site import Position

__all__ = ["Graph"]

_Lines = weakref.WeakKeyDictionary[Any, tuple[list[Position], bool]]
"""By node of Keras's: the user's lines around the call, and whether it is their own."""
_BUILDING = ("build", "_maybe_rebuild")
"""Methods by which a sequence of layers calls them."""


class Graph:
    """The calls of layers on symbolic tensors in this recording.

    Args:
        sink: where nodes go.
        layers: what is known of the layers.

    """

    def __init__(self, sink: Sink, layers: Layers) -> None:
        self._sink = sink
        self._layers = layers
        self._joined: _Lines = weakref.WeakKeyDictionary()

    def joined(self, node: Any) -> None:
        """Keras noted a call on symbolic tensors: keep the user's lines."""
        try:
            frame = sys._getframe(2)
            self._joined[node] = self._sink.sites.positions(frame), self._by_user(frame)
        except Exception as error:
            self._sink.tool_error("keeping the line of a call on symbolic tensors", error)

    def _by_user(self, frame: FrameType | None) -> bool:
        """Whether the user's own line made the call, and not a sequence of layers that builds itself."""
        while frame is not None and not self._sink.sites.is_user(frame.f_code.co_filename):
            if frame.f_code.co_name in _BUILDING:
                return False
            frame = frame.f_back
        return frame is not None

    def operands(self, tensors: Sequence[Any], roles: Sequence[str]) -> list[Operand]:
        """Return `tensors` as operands, after the nodes that lead to those that are symbolic."""
        telling = _Telling(self._sink, self._layers, self._joined)
        found = [telling.operand(one, role) for one, role in zip(tensors, roles, strict=True)]
        self._sink.emit(telling.events)
        return found


class _Telling:
    """One walk from symbolic tensors back to their inputs."""

    def __init__(self, sink: Sink, layers: Layers, joined: _Lines) -> None:
        self._sink = sink
        self._layers = layers
        self._joined = joined
        self._known: dict[int, Operand] = {}
        """Operands by the identity of their tensors."""
        self.events: list[Event] = []

    def operand(self, tensor: Any, role: str) -> Operand:
        """Return `tensor` as an operand; the nodes behind it are in `events`."""
        found = self._known.get(id(tensor))
        if found is None:
            found = self._known[id(tensor)] = self._made(tensor)
        return Operand(found.fact, found.origin, found.producer, found.output, found.name, role)

    def _made(self, tensor: Any) -> Operand:
        """Walk back without recursion, as deep as a network is: what a node takes is told before it."""
        waiting = [tensor]
        while waiting:
            one = waiting[-1]
            if id(one) in self._known:
                waiting.pop()
                continue
            node = _node_of(one)
            needs = node.input_tensors if node is not None else ()
            missing = [need for need in needs if id(need) not in self._known]
            inner = _within(node, one)
            if not missing and inner is not None:
                self._enter(node)
                missing = [inner] if id(inner) not in self._known else []
            if missing:
                waiting += missing
                continue
            waiting.pop()
            self._known[id(one)] = self._known[id(inner)] if inner is not None else self._tell(one, node)
        return self._known[id(tensor)]

    def _enter(self, node: Any) -> None:
        """The inputs of a model that was called are what it was called with, once that is known."""
        for own, given in zip(node.operation.inputs, node.input_tensors, strict=False):
            if id(given) in self._known:
                self._known[id(own)] = self._known[id(given)]

    def _tell(self, tensor: Any, node: Any) -> Operand:
        fact = fact_of(tensor)
        operation = node.operation if node is not None else None
        if operation is None or not node.input_tensors:
            name = getattr(operation, "path", None) or getattr(operation, "name", "") or ""
            return Operand(fact, "argument", name=name)
        output = next((i for i, one in enumerate(node.outputs) if one is tensor), 0)
        seq = self._sink.next_seq()
        sites = self._lines(node)
        self.events.append(
            Node(
                seq, self._sink.step, type(operation).__name__, function_of(operation), family_of(operation),
                "keras", "function", "build", name=operation.name,
                module=getattr(operation, "path", None) or operation.name, site=sites[0] if sites else None,
                callers=tuple(sites[1:]), inputs=self._inputs(operation, node),
                outputs=tuple(fact_of(one) for one in node.outputs), attributes=attributes_of(operation),
                execution="inferred",
            )
        )  # fmt: skip
        for i, one in enumerate(node.outputs):
            self._known[id(one)] = Operand(fact_of(one), "node", seq, i)
        return Operand(fact, "node", seq, output)

    def _inputs(self, operation: Any, node: Any) -> tuple[Operand, ...]:
        role = "index" if family_of(operation) == "index" else "input"
        found = [self.operand(one, role) for one in node.input_tensors]
        kernel = getattr(operation, "_kernel", None)
        if kernel is not None:
            found.append(Operand(fact_of(kernel), "variable", name=kernel.path, role="weight"))
        return tuple(found)

    def _lines(self, node: Any) -> list[Site]:
        """Return the line that called the operation; the one that made the layer where a model called it."""
        positions, by_user = self._joined.get(node, ((), False))
        called = [self._sink.sites.resolve(one) for one in positions]
        if by_user or not hasattr(node.operation, "path"):  # an operation of the user's has no line of its own
            return called
        made, _ = self._layers.site(node.operation)
        return called if made is None else [made, *called]


def _node_of(tensor: Any) -> Any:
    history = getattr(tensor, "_keras_history", None)
    if history is None or history.operation is None:
        return None
    nodes = history.operation._inbound_nodes
    return nodes[history.node_index] if history.node_index < len(nodes) else None


def _within(node: Any, tensor: Any) -> Any:
    """Return the tensor of its own graph that a called model gave as `tensor`; None for another operation."""
    operation = node.operation if node is not None else None
    if operation is None or not node.input_tensors:
        return None
    inside = getattr(operation, "_functional", None) or operation
    own = getattr(inside, "_outputs", None) if hasattr(inside, "_operations") else None
    place = next((i for i, one in enumerate(node.outputs) if one is tensor), None)
    return own[place] if own is not None and place is not None and place < len(own) else None
