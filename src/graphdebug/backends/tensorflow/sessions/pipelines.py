"""Pipelines: the functions that tf.data runs for a session, out of its sight: what they do, and what failed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.messages import node_name
from graphdebug.backends.tensorflow.sessions.calls import function_graph, functions_of
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts
from graphdebug.backends.tensorflow.sessions.plan import Plan
from graphdebug.backends.tensorflow.sessions.planning import make_plan, plan_input
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.model.event import Level, Node, Notice, Operand

__all__ = ["failing_in_pipeline", "tell_pipeline"]

_MADE_OF = re.compile(r"__inference_Dataset_[a-z_]*?_(\w+?)_\d+$")


def tell_pipeline(graph: Any, handle: Any, sink: Sink, level: Level) -> Operand | None:
    """List what the functions do that make the elements of an iterator; return its dataset as an operand.

    Args:
        graph: that holds the functions.
        handle: of the iterator, a tensor.
        sink: where nodes and a notice go.
        level: how much is recorded.

    """
    dataset = _dataset_of(graph, handle)
    elements: Sequence[Operand] = ()
    told: list[str] = []
    for op in _chain(dataset) if dataset is not None else ():
        for name in functions_of(op):
            function = function_graph(graph, name)
            plan = make_plan(function, function.outputs, function.control_outputs, function.inputs, sink.sites)
            given = _listed(plan, op.name, elements, sink, level)
            if "Filter" not in op.type:
                elements = given if "MapDataset" in op.type and "Flat" not in op.type else ()
            site = next((node.site for node in plan.nodes if node.site is not None), None)
            named = _MADE_OF.match(name)
            if site is not None:  # else it is one of TensorFlow's own
                told.append(f"{named[1] if named else name} ({os.path.basename(site.file)}:{site.line})")
    if dataset is None or not told:
        return None
    text = (
        f"tf.data runs {', '.join(told)} out of sight: the ops are listed as they were traced, "
        "their values are not seen"
    )
    sink.emit([Notice(sink.next_seq(), "blind", text)])
    facts = sorted((one for one in elements if one.fact.dtype), key=lambda one: "float" not in one.fact.dtype)
    if not facts:
        return None
    outputs = tuple(one.fact for one in facts)
    node = Node(
        sink.next_seq(), sink.step, dataset.type, "dataset", "other", "tensorflow", "session",
        inputs=tuple(facts), outputs=outputs, execution="inferred",
    )  # fmt: skip
    sink.emit([node])
    return Operand(outputs[0], "node", node.seq)


def _listed(plan: Plan, prefix: str, elements: Sequence[Operand], sink: Sink, level: Level) -> list[Operand]:
    """Write the nodes of a function that is given `elements`; return what it gives."""
    count = len(plan.nodes)
    known = {id(tensor): one for tensor, one in zip(plan.feeds, elements, strict=False)}
    facts = RunFacts(Probed(plan, level, ["inferred"] * count, [True] * count, {}), {}, {}, {}, known)
    writer = NodeWriter(sink, facts, None, 0)
    for node in plan.nodes:
        if not node.fed:
            writer.add(node, "inferred", prefix=prefix)
    sink.emit(writer.events)
    fed = {id(tensor) for tensor in plan.feeds}
    return [facts.operand(plan_input(one, "", plan.index, fed)) for one in plan.fetches]


def _dataset_of(graph: Any, handle: Any) -> Any:
    """Return the op of the dataset that an iterator goes over, None where it may be one of several."""
    if handle.op.type == "OneShotIterator":
        return function_graph(graph, functions_of(handle.op)[0]).outputs[0].op
    makers = [op for op in handle.consumers() if op.type == "MakeIterator"]
    return makers[0].inputs[0].op if len(makers) == 1 else None


def _chain(dataset: Any) -> Iterator[Any]:
    """Yield the ops of a dataset, the sources first."""
    for tensor in dataset.inputs:
        if tensor.dtype.name == "variant":
            yield from _chain(tensor.op)
    yield dataset


def failing_in_pipeline(graph: Any, message: str) -> tuple[Any, Any] | None:
    """Return the op of a dataset's function that a message of the runtime is about, and the dataset's op.

    None where the message is about no pipeline, or where several ops fit.
    """
    if "IteratorGetNext]]" not in message.replace("}}", "") or "IteratorGetNext" in node_name(message):
        return None
    name = node_name(message).rpartition("/")[2]
    found = [(op, owner) for op, owner in _pipeline_ops(graph) if op.name.rpartition("/")[2] == name]
    exact = [(op, owner) for op, owner in found if op.name == node_name(message)] or found
    return exact[0] if len({id(op) for op, _ in exact}) == 1 else None


def _pipeline_ops(graph: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the ops of all functions of the datasets of a graph, each with the dataset's op."""
    for owner in graph.get_operations():
        if "Dataset" not in owner.type:
            continue
        for name in functions_of(owner):
            try:
                inside = function_graph(graph, name).get_operations()
            except (AttributeError, KeyError, TypeError):
                continue
            yield from ((op, owner) for op in inside)
