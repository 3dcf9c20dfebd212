"""The oracle: knowing the true lines, it finds the first bad node and how far from it the report is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.run import Run

__all__ = ["Oracle"]


class Oracle:
    """The recorded run of a faulty program, seen by one who knows the lines where its first bad node runs.

    The first bad node is the first one on a marked line whose output is not finite, else the first one to
    run there in the step that failed, else the first one there; it is the failing call itself where that
    stands on a marked line. (Constants are not meant.)

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
        """Return the dataflow hops between the first bad node and the node that a report names first.

        Args:
            lines: the lines that the report names, in order; the first one that runs a node is taken (a
                declaration runs none).

        """
        events: list[Node | Failure] = [*self._nodes]
        if self._failure is not None:
            events.append(self._failure)
        for line in lines:
            here = [event for event in events if self._is_at(event, {line})]
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
        here = [node for node in self._nodes if self._is_at(node, lines) and node.family != "fill"]
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

    def _nearest(self, events: list[Node | Failure]) -> int | None:
        """Of a line that ran often, the nodes around the birth decide."""
        birth = self.birth
        if birth is None:
            return None
        later = [event for event in events if event.seq >= birth.seq][:_NODES_TRIED]
        before = [event for event in events if event.seq < birth.seq][-_NODES_TRIED:]
        hops = [self._hops(event, birth) for event in later] + [self._hops(birth, event) for event in before]
        return min((one for one in hops if one is not None), default=None)

    def _hops(self, late: Node | Failure, early: Node | Failure) -> int | None:
        """Breadth first from `late` back to `early`."""
        waiting = deque([(late.seq, 0)])
        seen: set[int] = set()
        while waiting:
            seq, hops = waiting.popleft()
            if seq == early.seq:
                return hops
            if seq in seen:
                continue
            seen.add(seq)
            event = late if seq == late.seq else self._by_seq.get(seq)
            waiting.extend((one.producer, hops + 1) for one in _inputs(event) if one.producer is not None)
        return None


_NODES_TRIED = 50
"""A line in a loop has many nodes; the nearest is among the first to run after the birth."""


def _inputs(event: Node | Failure | None) -> Sequence[Operand]:
    if event is None:
        return ()
    return event.operands if isinstance(event, Failure) else event.inputs


def _is_bad(node: Node) -> bool:
    return any(fact.finite is False for fact in node.outputs)
