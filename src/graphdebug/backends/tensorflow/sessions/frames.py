"""Frames: how often, and in which order, the nodes inside loops and branches of control flow v1 ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from graphdebug.backends.tensorflow.sessions.plan import PlanNode
from graphdebug.backends.tensorflow.sessions.staging import Record
from graphdebug.model.event import TensorFact

__all__ = ["FRAME_OPS", "Frames"]

FRAME_OPS = frozenset(
    prefix + name
    for prefix in ("", "Ref")
    for name in ("Enter", "Exit", "Switch", "Merge", "NextIteration", "LoopCond")
)
"""Ops that carry tensors into loops and branches, round and out."""
_ONCE = FRAME_OPS | {"Const", "ControlTrigger"}
"""Ops that are written down once for all iterations: they say the same in each."""


class Frames:
    """The executions inside the frames of one run.

    What could not be measured ran as often as what was measured beside it.

    Args:
        nodes: of the plan.
        records: what was staged, in order of iteration.

    """

    def __init__(self, nodes: Sequence[PlanNode], records: Sequence[Record]) -> None:
        self._nodes = nodes
        self._measured = {record.node for record in records}
        self._loops: dict[str, list[Record]] = {}
        self._branches: dict[int, Record] = {}
        for record in records:
            loop = nodes[record.node].loop
            if loop:
                self._loops.setdefault(loop, []).append(record)
            else:
                self._branches[record.node] = record
        self._ran = {name for record in records for name in _frames_of(nodes[record.node])}
        self._told: set[str] = set()

    def of(self, node: PlanNode) -> Iterator[tuple[int, TensorFact | None]]:
        """Yield what ran in the frame of `node`, once: (node index, fact of output 0 if it was seen)."""
        if not node.loop:
            yield from self._of_branch(node)
        elif node.loop not in self._told:
            self._told.add(node.loop)
            yield from self._of_loop(node.loop)

    def _of_branch(self, node: PlanNode) -> Iterator[tuple[int, TensorFact | None]]:
        record = self._branches.get(node.index)
        if record is not None:
            yield node.index, record.fact
        elif node.op.type in FRAME_OPS or (_frames_of(node) and _frames_of(node) <= self._ran):
            yield node.index, None

    def _of_loop(self, loop: str) -> Iterator[tuple[int, TensorFact | None]]:
        """Yield the nodes of a loop, iteration by iteration, in the order they were built in each."""
        inside = [one for one in self._nodes if one.loop == loop]
        unseen = [one for one in inside if one.index not in self._measured]
        yield from ((one.index, None) for one in unseen if one.op.type in _ONCE)
        again = [one for one in unseen if one.op.type not in _ONCE]
        for _, records in groupby(self._loops.get(loop, ()), key=lambda record: record.iteration):
            facts = {record.node: record.fact for record in records}
            ran = {_place(self._nodes[index]) for index in facts}
            ran |= {(frames, False) for frames, _ in ran}  # where the body ran, the condition did
            here = [one.index for one in again if _place(one) in ran]
            yield from ((index, facts.get(index)) for index in sorted([*facts, *here]))


def _place(node: PlanNode) -> tuple[frozenset[str], bool]:
    """Return what nodes have in common that run together: loops, branches, and the part of the loop."""
    return _frames_of(node), node.repeats_less


def _frames_of(node: PlanNode) -> frozenset[str]:
    context: Any = node.op._get_control_flow_context()
    found = set()
    while context is not None:
        found.add(context.name)
        context = context.outer_context
    return frozenset(found)
