"""Sampling: the axis on which a tensor counts samples, where a loader stacked them or rows were looked up."""

from __future__ import annotations

from dataclasses import dataclass

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.loops import loader
from graphdebug.diagnosis.shapes.setters import setter
from graphdebug.model.event import Node, Operand

__all__ = ["Sampled", "lookups", "sampled"]

_TIMES = 8
"""Times that rows were taken of rows."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """How the samples on an axis were taken."""

    node: Node
    """The loader's stack, or the lookup of rows."""
    index: Operand | None = None
    """What the rows were looked up with."""

    def alike(self, other: Sampled) -> bool:
        """Whether both are the same samples: of one loader in one step, or looked up with one index."""
        if self.index is None or other.index is None:
            return self.index is other.index and self.node.site == other.node.site
        return self.index.producer is not None and self.index.producer == other.index.producer


def sampled(evidence: Evidence, operand: Operand, axis: int) -> Sampled | None:
    """Return how the samples on `axis` (counted from the front) of `operand` were taken; None if that axis
    holds none, or it can't be told.
    """
    made = setter(evidence, operand, axis)
    if made.lookup is not None:
        index = next(one for one in made.lookup.inputs if one.role == "index")
        return Sampled(made.lookup, index)
    node = made.node
    if node is None or node.function != "stack" or not node.outputs:
        return None
    rank, new = len(node.outputs[0].shape or ()), node.attributes.get("axis")
    stacks = isinstance(new, int) and rank > 0 and new % rank == made.axis
    return Sampled(node) if stacks and _loads(evidence, node) else None


def lookups(evidence: Evidence, operand: Operand, axis: int = 0) -> tuple[list[Node], Operand]:
    """Return the lookups of rows that `axis` of `operand` went through, the last one first, with the data that
    they began with: also those before rows were sliced or a loader took them.
    """
    found: list[Node] = []
    for _ in range(_TIMES):
        made = setter(evidence, operand, axis)
        node, axis = made.node, made.axis
        if made.lookup is not None:
            found.append(made.lookup)
            operand, axis = made.lookup.inputs[0], 0
            continue
        if node is not None and node.function == "stack" and node.inputs and _loads(evidence, node):
            operand, axis = node.inputs[0], 0
            node = evidence.provenance.node(operand.producer)
            if node is None or node.function != "select" or node.attributes.get("axis") != 0:
                return found, operand
        elif node is None or node.function not in ("slice", "split", "narrow"):
            return found, made.operand
        operand = node.inputs[0]
    return found, operand


def _loads(evidence: Evidence, stack: Node) -> bool:
    """Whether a loader stacked samples there: the line, or one that called it, only goes over the loader."""
    batch = Operand(stack.outputs[0], producer=stack.seq)
    if evidence.provenance.sample(batch) is not batch:
        return True
    return any(loader(evidence.source, one) is not None for one in stack.callers)
