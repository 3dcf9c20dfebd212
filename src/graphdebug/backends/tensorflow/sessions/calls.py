"""Ops that call functions: which, and whether a function may be run once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

__all__ = [
    "CALLS",
    "function_graph",
    "function_ops",
    "functions_of",
    "is_call",
    "is_pure",
    "restarts",
    "writes",
]

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
_WRITES = ("AssignVariable", "AssignAddVariable", "AssignSubVariable", "ResourceApply", "ResourceScatter")
"""How the ops begin that write variables and do nothing else."""
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
    return writes(graph, op) == set()


def writes(graph: Any, op: Any) -> set[int] | None:
    """Return which inputs of a call are variables that its function writes: given them as they were, it gives
    the same once more. None where it does more than that.
    """
    found: set[int] = set()
    for name in functions_of(op):
        written = _written(graph, name)
        if written is None or (written and is_control(op)):  # then the next round would need what is written
            return None
        found |= written
    return found


def is_control(op: Any) -> bool:
    """Whether `op` is a loop or a branch."""
    return op.type in CALLS and not op.type.endswith("PartitionedCall")


def _written(graph: Any, name: str) -> set[int] | None:
    """Return the positions of the arguments that a function writes, None where it changes more or is random."""
    try:
        function = function_graph(graph, name)
    except (AttributeError, KeyError, TypeError):
        return None
    position = {id(one): index for index, one in enumerate(function.inputs)}
    found: set[int] = set()
    handed_on: set[int] = set()
    for op in function.get_operations():
        if is_call(op):
            if not is_pure(graph, op):
                return None
            handed_on |= {position[id(one)] for one in op.inputs if id(one) in position}
        elif op.type.startswith(_WRITES) and id(op.inputs[0]) in position:
            found |= {position[id(one)] for one in op.inputs if one.dtype.name == "resource"}
        elif op.op_def.is_stateful and op.type not in _READS:
            return None
    return None if found & handed_on else found


def restarts(graph: Any, op: Any) -> bool:
    """Whether `op` calls, without inlining it, a function that draws random numbers by a seed.

    How many it has drawn belongs to the way in which the session is run: with another fetch it begins anew.
    """
    return any(_restarts(graph, name, set(), apart=False) for name in functions_of(op))


def _restarts(graph: Any, name: str, seen: set[tuple[str, bool]], *, apart: bool) -> bool:
    found = graph._get_function(name)
    if found is None or (name, apart) in seen:
        return False
    seen.add((name, apart))
    apart = apart or ("_noinline" in found.definition.attr and found.definition.attr["_noinline"].b)
    for node in found.definition.node_def:
        if apart and any(key in node.attr and node.attr[key].i for key in ("seed", "seed2")):
            return True
        inner = [value.func.name for value in node.attr.values() if value.HasField("func")]
        inner += [one.name for value in node.attr.values() for one in value.list.func]
        if any(_restarts(graph, one, seen, apart=apart) for one in (*inner, node.op)):
            return True
    return False


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
