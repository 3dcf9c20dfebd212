"""Pipelines: the functions that tf.data runs for a session, out of its sight: which op failed in one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphdebug.backends.tensorflow.messages import node_name
from graphdebug.backends.tensorflow.sessions.calls import function_graph, functions_of

__all__ = ["failing_in_pipeline"]


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
