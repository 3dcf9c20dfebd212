"""Which nodes of a graph belong to backward and to the optimizer, and which forward node each belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from graphdebug.backends.tensorflow.sessions.leaves import GradientPlan, leaf_gradients
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanInput, PlanNode
from graphdebug.backends.tensorflow.sessions.variables import variable_of
from graphdebug.backends.tensorflow.sites import build_sites
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.model.site import SiteFinder

__all__ = ["assign_phases", "differentiated", "is_update", "name_after", "plan_gradients"]

_UPDATE = re.compile(r"(Resource)?(Sparse)?Apply[A-Z]")
_GRADIENT_SCOPE = re.compile(r"(?:.*/)?gradients(?:_\d+)?/")
_GRADIENT_NAME = re.compile(r"(?:.*/)?gradients(?:_\d+)?/(.+)_grad/")


def is_update(op: Any) -> bool:
    """Whether `op` is an optimizer's update of one variable, or of some rows of it."""
    return _UPDATE.match(op.type) is not None or ("/update_" in op.name and "Scatter" in op.type)


def assign_phases(nodes: Sequence[PlanNode], index: dict[str, int], finder: SiteFinder) -> None:
    """Set phase and forward node of every node of a plan, in place.

    A node is backward if TensorFlow noted the op it is the gradient of (``_original_op``), if its name says
    so (imported graphs have only names), or if it computes with something that is; it belongs to the
    optimizer if it updates a variable or stands in the scope of an op that does.
    """
    scopes = tuple({_scope(node.op.name) for node in nodes if is_update(node.op)} - {""})
    for node in nodes:
        node.forward = _forward_of(node, nodes, index)
        if is_update(node.op) or (scopes and f"{node.op.name}/".startswith(scopes)):
            node.phase, node.forward = "optimizer", None
        elif (
            node.forward is not None
            or _is_gradient(node)
            or any(_phase(one, nodes) == "backward" for one in node.inputs)
        ):
            node.phase = "backward"
    for node in nodes:
        if node.phase == "backward":
            _name_after_forward(node, nodes)
            if node.forward is None and node.op._original_op is not None:
                _name_after_unrun(node, node.op._original_op, finder)


def _scope(name: str) -> str:
    head, _, rest = name.partition("/update_")
    return f"{head}/" if rest else ""


def _phase(one: PlanInput, nodes: Sequence[PlanNode]) -> str:
    return "" if one.node is None else nodes[one.node].phase


def _is_gradient(node: PlanNode) -> bool:
    op = node.op
    return (
        op._original_op is not None
        or bool(word(op.type).backward_of)
        or _GRADIENT_SCOPE.match(op.name) is not None
    )


def _forward_of(node: PlanNode, nodes: Sequence[PlanNode], index: dict[str, int]) -> int | None:
    original = node.op._original_op
    if original is not None:
        return index.get(original.name)
    named = differentiated(node.op.name)
    if named in index:
        return index[named]
    kind = word(node.op.type).backward_of
    return next(_forward_by_inputs(node, kind, nodes), None) if kind else None


def _forward_by_inputs(node: PlanNode, kind: str, nodes: Sequence[PlanNode]) -> Iterator[int]:
    """Yield forward nodes of type `kind` that a gradient op without links can belong to, by its inputs."""
    for one in node.inputs:
        if one.node is not None and nodes[one.node].op.type == kind:
            yield one.node
    wanted = {id(one.tensor) for one in node.inputs}
    for other in nodes[: node.index]:
        if other.op.type == kind and any(id(one.tensor) in wanted for one in other.inputs):
            yield other.index


def _name_after_forward(node: PlanNode, nodes: Sequence[PlanNode]) -> None:
    if node.forward is not None:
        name_after(node, nodes[node.forward])


def name_after(node: PlanNode, forward: PlanNode) -> None:
    """Give a backward node the words of its forward node."""
    node.function, node.family, node.module = f"{forward.function}_backward", forward.family, forward.module


def differentiated(name: str) -> str:
    """Return the name of the op whose gradient the op `name` is, as TensorFlow's names tell, or none."""
    named = _GRADIENT_NAME.match(name)
    return named.group(1) if named else ""


def _name_after_unrun(node: PlanNode, original: Any, finder: SiteFinder) -> None:
    """Give a gradient op the line of its forward op, where this run does not need the forward op itself."""
    meaning = word(original.type)
    node.function, node.family = f"{meaning.function}_backward", meaning.family
    node.module, node.sites = original.name.rpartition("/")[0], build_sites(original, finder)


def plan_gradients(plan: Plan, wanted: str) -> list[GradientPlan]:
    """Return where the gradients of a plan are: of variables, and with ``all`` of forward tensors too."""
    if wanted == "none":
        return []
    found = _variable_gradients(plan.nodes)
    found += leaf_gradients(plan.nodes, {one.name for one in found}, fed=wanted == "all")
    return found + _tensor_gradients(plan.nodes) if wanted == "all" else found


def _variable_gradients(nodes: Sequence[PlanNode]) -> list[GradientPlan]:
    """Return the gradient that goes into each optimizer update."""
    found = []
    for node in nodes:
        if not is_update(node.op):
            continue
        roles = word(node.op.type).roles
        position = roles.index("gradient") if "gradient" in roles else None
        if position is None or position >= len(node.inputs):
            continue
        name = variable_of(node.op.inputs[0])
        found.append(GradientPlan(name, node.inputs[position], _user_of(name, nodes)))
    return found


def _user_of(variable: str, nodes: Sequence[PlanNode]) -> int | None:
    """Return the forward node that used a variable first."""
    for node in nodes:
        computes = node.phase == "forward" and node.family not in ("copy", "fill", "assign")
        if computes and any(one.origin == "variable" and one.name == variable for one in node.inputs):
            return node.index
    return None


def _tensor_gradients(nodes: Sequence[PlanNode]) -> list[GradientPlan]:
    """Return the gradient of each forward node's only output: what enters its own backward nodes."""
    found: dict[int, GradientPlan] = {}
    for node in nodes:
        if node.phase != "backward" or node.forward is None or node.forward in found:
            continue
        forward = nodes[node.forward]
        if len(forward.static) != 1:
            continue
        for one in node.inputs:
            maker = None if one.node is None else nodes[one.node]
            if maker is None or maker.phase != "backward" or maker.forward == node.forward:
                continue
            if one.tensor.dtype.is_floating:
                found[node.forward] = GradientPlan("", one, node.forward)
                break
    return list(found.values())
