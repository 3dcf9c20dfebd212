"""Whole numbers of a plan: the tensors that are calculated with and may leave the range of their type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from graphdebug.backends.tensorflow.facts import dtype_word
from graphdebug.backends.tensorflow.packs import Place
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanInput, PlanNode
from graphdebug.backends.whole import COUNTS, is_whole
from graphdebug.model.event import Level

__all__ = ["Whole", "whole_numbers"]


@dataclass(slots=True)
class Whole:
    """What is measured at level health, too."""

    places: set[Place] = field(default_factory=set)
    feeds: set[int] = field(default_factory=set)
    """Fed tensors, by id."""

    def level(self, level: Level, node: PlanNode, output: int) -> Level:
        """Return how much is measured of an output, where the recording is of `level`."""
        return "stats" if level == "health" and (node.index, output) in self.places else level


def whole_numbers(plan: Plan) -> Whole:
    """Return what of a plan is calculated with, or calculated, and may leave the range of whole numbers."""
    found = Whole()
    fed = {id(tensor) for tensor in plan.feeds}
    for node in plan.nodes:
        if node.function not in COUNTS or not node.op.outputs:
            continue
        becomes = is_whole(dtype_word(node.op.outputs[0].dtype))
        if becomes:
            found.places.add((node.index, 0))
        for one in _operands(node, becomes=becomes):
            if id(one.tensor) in fed:
                found.feeds.add(id(one.tensor))
            elif (position := plan.index.get(one.tensor.op.name)) is not None:
                found.places.add((position, one.tensor.value_index))
    return found


def _operands(node: PlanNode, *, becomes: bool) -> Iterator[PlanInput]:
    """Yield the inputs of whole numbers, and what becomes such; an axis is none."""
    if node.function == "cast" and not becomes:
        return
    for one in node.inputs[: 1 if node.family == "reduce" else None]:
        if node.function == "cast" or is_whole(dtype_word(one.tensor.dtype)):
            yield one
