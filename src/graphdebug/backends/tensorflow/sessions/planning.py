"""Planning: what one `Session.run` will execute, found before it does."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter
from typing import Any

from graphdebug.backends.tensorflow.attributes import Asked, attributes_of
from graphdebug.backends.tensorflow.facts import device_word, static_fact
from graphdebug.backends.tensorflow.sessions.gradients import assign_phases
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanInput, PlanNode, selected_ops
from graphdebug.backends.tensorflow.sessions.variables import variable_of
from graphdebug.backends.tensorflow.sites import build_sites
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.model.event import Operand
from graphdebug.model.site import SiteFinder

__all__ = ["make_plan", "plan_input"]


def make_plan(
    graph: Any, fetches: Sequence[Any], targets: Sequence[Any], feeds: Sequence[Any], finder: SiteFinder
) -> Plan:
    """Return the plan of a run that fetches tensors, runs target ops and feeds tensors."""
    roots = [tensor.op for tensor in fetches if all(tensor is not feed for feed in feeds)] + list(targets)
    ops = selected_ops(roots, feeds)
    index = {op.name: position for position, op in enumerate(ops)}
    nodes: list[PlanNode] = []
    fed = {id(tensor) for tensor in feeds}
    for op in ops:
        nodes.append(_node(op, len(nodes), index, fed, finder))
    _mark_conditional(nodes, index)
    _mark_bodies(nodes)
    assign_phases(nodes, index, finder)
    return Plan(graph, tuple(fetches), tuple(targets), tuple(feeds), nodes, index)


def _node(op: Any, position: int, index: dict[str, int], fed: set[int], finder: SiteFinder) -> PlanNode:
    meaning = word(op.type)
    loops = _while_contexts(op)
    inputs = [plan_input(tensor, meaning.role(i), index, fed) for i, tensor in enumerate(op.inputs)]
    function, family = meaning.function, meaning.family
    if function == "matmul" and len(inputs) == 2 and inputs[1].origin == "variable":
        function, family = "linear", "linear"
        inputs[0].role, inputs[1].role = "input", "weight"
    operands = [Operand(static_fact(one.tensor), one.origin, name=one.name, role=one.role) for one in inputs]
    attributes = attributes_of(op.type, Asked(_reader(op), _constants(op), operands))
    if family == "linear":
        attributes["weight_layout"] = "OI" if attributes.get("transpose_b") else "IO"
    return PlanNode(
        op, position, function, family, op.name.rpartition("/")[0], build_sites(op, finder),
        device_word(op.device or ""), inputs, attributes=attributes,
        static=tuple(static_fact(tensor) for tensor in op.outputs),
        fed=any(id(tensor) in fed for tensor in op.outputs),
        loop=loops[-1] if loops else "", nested=len(loops) > 1, conditional=_is_conditional(op),
    )  # fmt: skip


def plan_input(tensor: Any, role: str, index: dict[str, int], fed: set[int]) -> PlanInput:
    """Return `tensor` as an input in `role`, by what makes it in a plan of these nodes and feeds."""
    if id(tensor) in fed:
        return PlanInput(tensor, "feed", tensor.name, role)
    variable = variable_of(tensor)
    if variable:
        return PlanInput(tensor, "variable", variable, role, None)
    if tensor.op.type == "Const":
        return PlanInput(tensor, "constant", tensor.op.name, role)
    node = index.get(tensor.op.name)
    return PlanInput(tensor, "node" if node is not None else "unknown", "", role, node, tensor.value_index)


def _reader(op: Any) -> Any:
    def read(name: str) -> Any:
        try:
            return op.get_attr(name)
        except ValueError:
            return None

    return read


def _constants(op: Any) -> Any:
    def read(position: int) -> Any:
        from tensorflow.python.framework import tensor_util

        if position >= len(op.inputs):
            return None
        return tensor_util.constant_value(op.inputs[position])

    return read


def _while_contexts(op: Any) -> list[str]:
    """Return the names of the while contexts that `op` runs in, innermost first."""
    context, found = op._get_control_flow_context(), []
    while context is not None:
        if context.IsWhileContext():
            found.append(context.name)
        context = context.outer_context
    return found


def _mark_conditional(nodes: Sequence[PlanNode], index: dict[str, int]) -> None:
    """Mark the nodes that a Switch may leave out, though they stand in no cond context: gradients of branches.

    Counts the Switches on the way to a node less the Merges that end them.
    """
    makers = {
        node.index: [
            index[op.name]
            for op in [*(one.tensor.op for one in node.inputs if one.origin != "feed"), *node.op.control_inputs]
            if op.name in index and not op.type.endswith("NextIteration")
        ]
        for node in nodes
    }
    depth = [0] * len(nodes)
    for position in TopologicalSorter(makers).static_order():
        node = nodes[position]
        deepest = max((depth[maker] for maker in makers[position]), default=0)
        kind = node.op.type.removeprefix("Ref")
        loops_back = any(one.tensor.op.type.endswith("NextIteration") for one in node.inputs)
        if kind == "Switch":
            deepest += 1
        elif kind == "Exit" or (kind == "Merge" and not loops_back):
            deepest = max(0, deepest - 1)
        depth[position] = deepest
        if deepest and not node.loop:
            node.conditional = True


def _mark_bodies(nodes: Sequence[PlanNode]) -> None:
    """Mark the nodes of loops that run only where the loop goes on: what its Switches let through."""
    waiting = [
        node for node in nodes
        if any(_goes_on(one.tensor) for one in node.inputs)
    ]  # fmt: skip
    users: dict[str, list[PlanNode]] = {}
    for node in nodes:
        for op in [*(one.tensor.op for one in node.inputs), *node.op.control_inputs]:
            users.setdefault(op.name, []).append(node)
    while waiting:
        node = waiting.pop()
        if node.repeats_less or not node.loop or node.op.type.removeprefix("Ref") in ("Merge", "Exit", "Enter"):
            continue
        node.repeats_less = True
        waiting.extend(users.get(node.op.name, ()))


def _goes_on(tensor: Any) -> bool:
    """Whether a tensor is what a loop's Switch lets into its body."""
    op = tensor.op
    decides = op.type.removeprefix("Ref") == "Switch" and op.inputs[1].op.type == "LoopCond"
    return bool(decides and tensor.value_index == 1)


def _is_conditional(op: Any) -> bool:
    context = op._get_control_flow_context()
    while context is not None:
        if context.IsCondContext():
            return True
        context = context.outer_context
    return False
