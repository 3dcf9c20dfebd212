"""What one `Session.run` will execute: the nodes its fetches, targets and feeds select, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Literal

from graphdebug.backends.tensorflow.attributes import Asked, attributes_of
from graphdebug.backends.tensorflow.facts import device_word, static_fact
from graphdebug.backends.tensorflow.sessions.variables import variable_of
from graphdebug.backends.tensorflow.sites import build_sites
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.model.event import Family, Operand, Origin, Phase, Site, TensorFact
from graphdebug.model.site import SiteFinder

__all__ = ["Execution", "Plan", "PlanInput", "PlanNode", "make_plan", "plan_input", "selected_ops"]


Execution = Literal["executed", "inferred", "fused", "removed", "raised"]


@dataclass(slots=True)
class PlanInput:
    """One input of a node, by what makes it."""

    tensor: Any
    origin: Origin
    name: str = ""
    role: str = ""
    node: int | None = None
    """Index of the plan's node that makes it, if one does."""
    output: int = 0


@dataclass(slots=True)
class PlanNode:
    """One node of a graph, with all that is known of it before it runs."""

    op: Any
    index: int
    function: str
    family: Family
    module: str
    sites: Sequence[Site]
    device: str
    inputs: list[PlanInput]
    phase: Phase = "forward"
    forward: int | None = None
    """Index of the forward node that this backward node belongs to."""
    attributes: dict[str, Any] = field(default_factory=dict)
    static: tuple[TensorFact, ...] = ()
    fed: bool = False
    loop: str = ""
    """Name of the outermost while context (control flow v1) it runs in: it may run many times."""
    nested: bool = False
    """In a loop inside a loop."""
    conditional: bool = False
    """Inside a cond (control flow v1): it may not run at all."""
    repeats_less: bool = False
    """In the body of its innermost loop, not in the condition, which runs once more."""

    @property
    def site(self) -> Site | None:
        """The user's line that built it, if there is one."""
        return self.sites[0] if self.sites else None


@dataclass(slots=True)
class Plan:
    """The nodes of one way to call `Session.run` on one graph."""

    graph: Any
    fetches: Sequence[Any]
    targets: Sequence[Any]
    feeds: Sequence[Any]
    nodes: list[PlanNode]
    index: dict[str, int]
    """Position of each node by its name."""

    def node(self, name: str) -> PlanNode | None:
        """Return the node called `name`, if the plan has it."""
        position = self.index.get(name)
        return None if position is None else self.nodes[position]


def selected_ops(roots: Iterable[Any], feeds: Iterable[Any]) -> list[Any]:
    """Return the ops that `roots` need when `feeds` (tensors) are given, in the order they were built."""
    fed = {id(tensor) for tensor in feeds}
    seen: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        op = waiting.pop()
        if id(op) in seen:
            continue
        seen[id(op)] = op
        waiting.extend(tensor.op for tensor in op.inputs if id(tensor) not in fed)
        waiting.extend(op.control_inputs)
    return sorted(seen.values(), key=lambda op: int(op._id))


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
    from graphdebug.backends.tensorflow.sessions.gradients import assign_phases

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
