"""Ops that call functions: which, and whether a function may be run once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

__all__ = ["CALLS", "function_graph", "function_ops", "functions_of", "is_call", "is_pure"]

CALLS = frozenset(
    [
        "PartitionedCall",
        "StatefulPartitionedCall",
        "If",
        "StatelessIf",
        "Case",
        "StatelessCase",
        "While",
        "StatelessWhile",
    ]
)
_READS = frozenset(
    [
        "VarHandleOp",
        "ReadVariableOp",
        "VariableShape",
        "Placeholder",
        "ResourceGather",
        "Assert",
        "CheckNumerics",
        "Print",
    ]
)


def functions_of(op: Any) -> list[str]:
    """Return the names of the functions that `op` calls."""
    if op.type in getattr(op.graph, "_functions", ()):
        return [str(op.type)]  # made by Defun: the function is the op
    found = []
    for value in op.node_def.attr.values():
        if value.HasField("func"):
            found.append(value.func.name)
        found.extend(one.name for one in value.list.func)
    return found


def is_call(op: Any) -> bool:
    """Whether `op` runs a function: a call, a branch, a loop, or an op that Defun made."""
    return op.type in CALLS or op.type in getattr(op.graph, "_functions", ())


def function_graph(graph: Any, name: str) -> Any:
    """Return the graph of a function's ops; one that Defun made is rebuilt, without lines.

    Raises:
        KeyError: the function is not in the graph.

    """
    found = graph._get_function(name)
    if found is None:
        raise KeyError(name)
    body = getattr(found, "graph", None)
    if body is None:
        with graph.as_default():
            body = function_def_to_graph(found.definition)
    return body


def is_pure(graph: Any, op: Any) -> bool:
    """Whether running the functions that `op` calls once more changes nothing and gives the same."""
    return not any(_side_effect(graph, name) for name in functions_of(op))


def _side_effect(graph: Any, name: str) -> str:
    try:
        function = function_graph(graph, name)
    except (AttributeError, KeyError, TypeError):
        return name
    for op in function.get_operations():
        if is_call(op):
            inner = next((found for one in functions_of(op) if (found := _side_effect(graph, one))), "")
            if inner:
                return inner
        elif op.op_def.is_stateful and op.type not in _READS:
            return str(op.name)
    return ""


def function_ops(graph: Any, op: Any, depth: int = 0) -> Iterator[Any]:
    """Yield all ops of the functions that `op` calls, those of functions they call included."""
    for name in functions_of(op):
        try:
            inside = function_graph(graph, name).get_operations()
        except (AttributeError, KeyError, TypeError):
            continue
        for one in inside:
            yield one
            if is_call(one) and depth < 8:
                yield from function_ops(graph, one, depth + 1)
