"""Gradients of leaves (variables, placeholders) in a graph that no optimizer updates: built by tf.gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from graphdebug.backends.tensorflow.sessions.plan import PlanInput, PlanNode
from graphdebug.backends.tensorflow.sessions.variables import variable_of

__all__ = ["GradientPlan", "leaf_gradients"]

_PLACEHOLDERS = ("Placeholder", "PlaceholderWithDefault")


class GradientPlan(NamedTuple):
    """Where in a plan the gradient of a variable, placeholder or forward tensor is."""

    name: str
    producer: PlanInput
    forward: int | None
    """The forward node that made the tensor, or used the variable."""
    output: int = 0


def leaf_gradients(nodes: Sequence[PlanNode], known: set[str], *, fed: bool) -> list[GradientPlan]:
    """Return where the gradients of variables, and of placeholders if `fed`, are; not those `known` by name.

    A gradient function makes one tensor for each input of its forward op, in the order of the inputs. The
    tensors that its nodes hand out are matched with the inputs by that order, or, where some inputs have
    no gradient, by a shape that only one of them has. A leaf with several uses has the sum of all
    (AddN); where the plan has no such sum, its gradient is left out rather than given in part.
    """
    groups: dict[Any, list[PlanNode]] = {}
    for node in nodes:
        if node.phase == "backward":
            original = node.op._original_op or (nodes[node.forward].op if node.forward is not None else None)
            groups.setdefault(original, []).append(node)
    index = {node.op.name: node.index for node in nodes}
    uses: dict[str, int] = {}
    found: dict[str, GradientPlan] = {}
    for original, group in groups.items():
        for tensor, made in _matched(original, _handed_out(group)) if original is not None else ():
            name = variable_of(tensor) or (_placeholder_name(tensor) if fed else "")
            if name and name not in known:
                uses[name] = uses.get(name, 0) + 1
                found.setdefault(name, GradientPlan(name, _summed(made, nodes), index.get(original.name)))
    return [one for name, one in found.items() if uses[name] == 1 or one.producer.tensor.op.type == "AddN"]


def _placeholder_name(tensor: Any) -> str:
    return str(tensor.name) if tensor.op.type in _PLACEHOLDERS else ""


def _handed_out(group: Sequence[PlanNode]) -> list[PlanInput]:
    """Return the floating tensors that nodes of a gradient function make and no other of them takes."""
    taken = {id(one.tensor) for node in group for one in node.inputs}
    return [
        PlanInput(tensor, "node", node=node.index, output=position)
        for node in sorted(group, key=lambda node: node.op._id)
        for position, tensor in enumerate(node.op.outputs)
        if _is_floating(tensor) and id(tensor) not in taken
    ]


def _matched(original: Any, made: Sequence[PlanInput]) -> Iterator[tuple[Any, PlanInput]]:
    """Yield the inputs of the forward op `original`, each with what is made as its gradient."""
    wanted = [tensor for tensor in original.inputs if _is_floating(tensor)]
    if len(wanted) == len(made):
        yield from zip(wanted, made, strict=True)
        return
    for tensor in wanted:
        alike = [other for other in wanted if _same_shape(other, tensor)]
        fitting = [one for one in made if _same_shape(one.tensor, tensor)]
        if len(alike) == len(fitting) == 1:
            yield tensor, fitting[0]


def _is_floating(tensor: Any) -> bool:
    return bool(tensor.dtype.base_dtype.is_floating)


def _same_shape(one: Any, other: Any) -> bool:
    return None not in (one.shape.rank, other.shape.rank) and one.shape.as_list() == other.shape.as_list()


def _summed(made: PlanInput, nodes: Sequence[PlanNode]) -> PlanInput:
    """Return the sum over all uses that `made` goes into, or `made` itself."""
    for node in nodes:
        if node.op.type == "AddN" and any(one.tensor is made.tensor for one in node.inputs):
            return PlanInput(node.op.outputs[0], "node", node=node.index)
    return made
