"""Plan: the nodes that the fetches, targets and feeds of one `Session.run` select, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graphdebug.model.event import Family, Origin, Phase, Site, TensorFact

__all__ = ["Execution", "Plan", "PlanInput", "PlanNode", "selected_ops"]

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
