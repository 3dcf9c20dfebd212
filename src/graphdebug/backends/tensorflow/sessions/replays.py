"""Replays: what of a session's run may be run once more, and what of it can be fetched then."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from math import prod
from typing import Any

from graphdebug.backends.tensorflow.facts import dtype_word
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanNode
from graphdebug.backends.tensorflow.sessions.probes import MEASURED
from graphdebug.model.event import Shape

__all__ = ["obstacle_of", "replayable"]

_LARGEST_REPLAY = 50_000_000
"""Elements that a replay fetches at most."""
_READS = frozenset(
    [
        "VarHandleOp",
        "ReadVariableOp",
        "VariableShape",
        "VariableV2",
        "Variable",
        "Placeholder",
        "PlaceholderV2",
        "ResourceGather",
        "Assert",
        "Print",
        "CheckNumerics",
    ]
)
"""Ops that TensorFlow calls stateful and that change nothing."""


def obstacle_of(plan: Plan, wanted: Container[str], node: PlanNode | None = None) -> str:
    """Return why the nodes named in `wanted` can't be run again, or an empty word.

    Args:
        plan: what ran.
        wanted: names of nodes, with all their ancestors.
        node: the one that failed, where one did: what comes after it has not run.

    """
    made_by = [one for one in plan.nodes if one.op.name in wanted]
    for one in made_by:
        if one.op.op_def.is_stateful and one.op.type not in _READS:
            return f"{one.op.name} ({one.op.type}) changes state or is random"
    read = {one.op.name for one in made_by if one.op.type in ("VarHandleOp", "VariableV2", "Variable")}
    after = set() if node is None else _descendants(plan, node)
    for one in plan.nodes:
        if one.family == "assign" and one.index not in after:
            names = {source.name for source in one.inputs if source.origin == "variable"}
            if names & read:
                return f"{one.op.name} may have changed {min(names & read)} already"
    return ""


def _descendants(plan: Plan, node: PlanNode) -> set[int]:
    found = {node.index}
    names = {node.op.name}
    for one in plan.nodes:
        depends = any(source.node in found for source in one.inputs if source.node is not None)
        if depends or any(control.name in names for control in one.op.control_inputs):
            found.add(one.index)
            names.add(one.op.name)
    return found


def replayable(
    plan: Plan, wanted: Container[str], shapes: Mapping[str, Sequence[Shape | None]]
) -> list[tuple[int, int, Any]]:
    """Return what of the nodes named in `wanted` can be fetched: (node index, output, tensor)."""
    places: list[tuple[int, int, Any]] = []
    total = 0
    for one in plan.nodes:
        if one.op.name not in wanted or one.fed or one.op.type == "Const" or one.loop or one.conditional:
            continue
        for output, tensor in enumerate(one.op.outputs):
            usable = dtype_word(tensor.dtype) in MEASURED and not tensor.dtype._is_ref_dtype
            if not usable or not plan.graph.is_fetchable(tensor):
                continue
            row = shapes.get(one.op.name, ())
            total += prod(size or 1 for size in (row[output] if output < len(row) else None) or ())
            if total > _LARGEST_REPLAY:
                return places
            places.append((one.index, output, tensor))
    return places
