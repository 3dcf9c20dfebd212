"""The oracle: knowing the true lines, it finds the first bad node and how far from it the report is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.run import Run

__all__ = ["Oracle"]


class Oracle:
    """The recorded run of a faulty program, seen by one who knows the lines where its first bad node runs.

    The first bad node is the first one on a marked line whose output is not finite, else the last one to
    run there in the step that failed, else the first one there; it is the failing call itself where that
    stands on a marked line.

    Args:
        run: the program's recorded run.
        program: path of the program that was run.
        births: its lines (from 1) on which the first bad node runs.

    """

    def __init__(self, run: Run, program: Path, births: Iterable[int]) -> None:
        self._nodes = list(run.nodes)
        self._program = program
        self._failure = next(iter(run.failures), None)
        self._by_seq = {node.seq: node for node in self._nodes}
        self.birth = self._find_birth(set(births))

    def hops_to(self, lines: Iterable[int]) -> int | None:
        """Return the dataflow hops from the first bad node to the node that a report names first.

        Args:
            lines: the lines that the report names, in order; the first one that runs a node is taken (a
                declaration runs none).

        """
        if self.birth is None:
            return None
        for line in lines:
            if self._failure is not None and self._is_at(self._failure, {line}):
                return 0 if self.birth is self._failure else self._hops(self._failure.operands, 1)
            here = [node for node in self._nodes if self._is_at(node, {line})]
            if here:
                return self._nearest(here)
        return None

    def nodes_until_report(self) -> int | None:
        """Return how many nodes ran from the first bad one until the exception, or until the end."""
        if not self._nodes:
            return 0  # the graph could not even be built
        if self.birth is None:
            return None
        end = self._failure.seq if self._failure is not None else self._nodes[-1].seq + 1
        return sum(self.birth.seq < node.seq < end for node in self._nodes)

    def seconds_until_report(self) -> float | None:
        """Return the seconds from the first bad node's start until the last node before the report."""
        if not self._nodes or isinstance(self.birth, Failure):
            return 0.0
        if self.birth is None:
            return None
        last = max((node.time + node.duration for node in self._nodes), default=0.0)
        return round(max(0.0, last - self.birth.time), 6) if self.birth.time else None

    def _find_birth(self, lines: set[int]) -> Node | Failure | None:
        here = [node for node in self._nodes if self._is_at(node, lines)]
        bad = next((node for node in here if _is_bad(node)), None)
        if bad is not None:
            return bad
        if self._failure is None:
            return here[0] if here else None
        if self._is_at(self._failure, lines):
            return self._failure
        failing = [node for node in here if node.step == self._failure.step]
        return failing[0] if failing else (here[-1] if here else None)

    def _is_at(self, event: Node | Failure, lines: set[int]) -> bool:
        return event.site is not None and event.site.line in lines and Path(event.site.file) == self._program

    def _nearest(self, nodes: list[Node]) -> int | None:
        """Of a line that ran often, the nodes around the birth decide."""
        if self.birth in nodes:
            return 0
        if isinstance(self.birth, Failure):
            return None
        later = [node for node in nodes if self.birth is not None and node.seq > self.birth.seq]
        hops = [self._hops(node.inputs, 1) for node in later[:_NODES_TRIED]]
        return min((one for one in hops if one is not None), default=None)

    def _hops(self, operands: Iterable[Operand], distance: int) -> int | None:
        """Breadth first from `operands` back to the first bad node."""
        goal = self.birth.seq if self.birth is not None else None
        waiting = deque((one.producer, distance) for one in operands if one.producer is not None)
        seen: set[int] = set()
        while waiting:
            seq, hops = waiting.popleft()
            if seq == goal:
                return hops
            if seq in seen or seq not in self._by_seq:
                continue
            seen.add(seq)
            node = self._by_seq[seq]
            waiting.extend((one.producer, hops + 1) for one in node.inputs if one.producer is not None)
        return None


_NODES_TRIED = 50
"""A line in a loop has many nodes; the nearest is among the first to run after the birth."""


def _is_bad(node: Node) -> bool:
    return any(fact.finite is False for fact in node.outputs)
