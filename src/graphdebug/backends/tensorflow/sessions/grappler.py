"""What TensorFlow's graph optimizer will make of a plan: asked beforehand, with and without our probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphdebug.backends.tensorflow.sessions.calls import is_call
from graphdebug.backends.tensorflow.sessions.plan import Execution, Plan, selected_ops
from graphdebug.backends.tensorflow.sessions.pruned import optimised_nodes, pruned_graph

__all__ = ["Optimised", "changed_nodes", "executions", "optimised"]

_TRIVIAL = ("Const", "Identity", "IdentityN", "NoOp")
_CONSTANT = "a constant"
_DEPTH = 4
"""Steps back to which two nodes are compared by what they do."""

Optimised = Mapping[str, Any]
"""NodeDefs by name."""


def optimised(
    plan: Plan, config: Any, fetches: Sequence[Any] = (), targets: Sequence[Any] = ()
) -> Optimised | None:
    """Return the nodes that are left of `plan` when it runs with some more fetches and targets.

    Args:
        plan: what will run.
        config: the session's ConfigProto.
        fetches: tensors of our probes.
        targets: ops of our probes.

    Returns:
        The nodes, or None where the optimizer can't tell (it fails on some graphs).

    """
    roots = [*(tensor.op for tensor in (*plan.fetches, *fetches)), *plan.targets, *targets]
    fed = {id(tensor.op) for tensor in plan.feeds}
    ops = selected_ops([op for op in roots if id(op) not in fed], plan.feeds)
    names = [op.name for op in roots]
    try:
        definition = pruned_graph(plan.graph, ops, {tensor.ref(): None for tensor in plan.feeds})
        left = optimised_nodes(definition, names, config)
    except Exception:
        return None
    return left


def executions(plan: Plan, left: Optimised | None) -> list[Execution]:
    """Return what becomes of each node of `plan`."""
    if left is None:
        return ["executed"] * len(plan.nodes)
    found: list[Execution] = []
    users: dict[int, list[int]] = {}
    for node in plan.nodes:
        for one in node.inputs:
            if one.node is not None:
                users.setdefault(one.node, []).append(node.index)
        kept = node.op.name in left or is_call(node.op) or bool(node.loop) or node.conditional
        found.append("executed" if kept else "removed")
    fused = {name for name, node in left.items() if "Fused" in node.op}
    for node in reversed(plan.nodes):
        after = users.get(node.index, ())
        if found[node.index] == "removed" and any(
            found[one] == "fused" or plan.nodes[one].op.name in fused for one in after
        ):
            found[node.index] = "fused"
    return found


def changed_nodes(before: Optimised, after: Optimised) -> set[str]:
    """Return the names of the nodes that compute otherwise when probes are there, and of their inputs.

    Nodes are compared by op and by what their data inputs come from, seen through Identities. Which of some
    equal constants or equal nodes is used, and what nothing uses, makes no difference.
    """
    changed: set[str] = set()
    for name in before.keys() & after.keys():
        one, other = before[name], after[name]
        if one.op in _TRIVIAL:
            continue
        here, there = _sources(one, before), _sources(other, after)
        if one.op == other.op and here == there:
            continue
        if one.op != other.op or _kinds(here - there, before) != _kinds(there - here, after):
            changed |= {name, *here, *there}
    return changed


def _kinds(names: set[str], nodes: Optimised) -> set[Any]:
    """Return what nodes do: of two that do the same to the same, the optimizer keeps either."""
    return {_kind(name, nodes) for name in names}


def _kind(name: str, nodes: Optimised, depth: int = 0) -> Any:
    """Return what a node does, to nodes that are known by what they do in their turn, some steps back."""
    if name not in nodes or depth == _DEPTH:
        return name
    sources = _sources(nodes[name], nodes)
    return nodes[name].op, frozenset(_kind(source, nodes, depth + 1) for source in sources)


def _sources(node: Any, nodes: Optimised) -> set[str]:
    """Return the names of the nodes that make a node's data inputs, `_CONSTANT` for a constant."""
    found = set()
    for name in node.input:
        if name.startswith("^"):
            continue
        source = nodes.get(name.partition(":")[0])
        while source is not None and source.op == "Identity" and not source.input[0].startswith("^"):
            source = nodes.get(source.input[0].partition(":")[0])
        constant = source is not None and source.op == "Const"
        found.add(_CONSTANT if constant else source.name if source is not None else name)
    return found
