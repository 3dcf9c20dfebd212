"""Evidence: one run with the helpers that every rule asks: provenance, source text, good calls before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from graphdebug.diagnosis.confidence import measured, measured_lead
from graphdebug.diagnosis.provenance import Provenance
from graphdebug.diagnosis.ranking import certainty, ranked
from graphdebug.diagnosis.report import compose
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Failure, Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding
from graphdebug.model.run import Run

__all__ = ["Evidence"]

_STEPS_BACK = 3
"""Steps before a failure that are searched for a good call of the same op."""


class Evidence:
    """What the rules look at."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.source = SourceText(run)
        self.provenance = Provenance(run, self.source)

    @cached_property
    def steps(self) -> Sequence[int]:
        """The steps that have nodes, rising."""
        return self.run.steps

    @property
    def _every(self) -> int:
        """Which of the steps were recorded: every how many."""
        start = self.run.start
        return int(start.options.get("every", 1)) if start is not None else 1

    def before(self, seq: int, step: int) -> Iterator[Node]:
        """Yield the nodes before `seq`, the latest first, from `step` back over some steps."""
        for number in range(
            step, max(step - _STEPS_BACK * self._every, 0) - 1, -1
        ):  # listing all steps is slow
            for node in reversed(self.run.step(number).nodes):
                if node.seq < seq:
                    yield node

    def last_of_phase(self, phase: str, step: int) -> Iterator[Node]:
        """Yield the first node of `phase` in `step` and in each of some steps before it, the latest first."""
        for number in range(step, max(step - _STEPS_BACK * self._every, 0) - 1, -1):
            found = next((one for one in self.run.step(number).nodes if one.phase == phase), None)
            if found is not None:
                yield found

    def good_call(self, failure: Failure) -> Node | None:
        """Return the last node that did at the failing line what the failure did, and succeeded."""
        for node in self.before(failure.seq, failure.step):
            if (
                _did(node, failure)
                and node.module == failure.module
                and node.phase == failure.phase
                and _same_call(node.site, failure.site)
            ):
                return node
        return None

    def worked(self, failure: Failure) -> bool:
        """Whether the layer or model that failed ran before, on whichever line."""
        ran = failure.run_site or (failure.frames[-1] if failure.frames else None)
        inside = f"{failure.module}/"
        return bool(failure.module) and any(
            f"{one.module}/".startswith(inside) and one.phase == "forward"
            and (one.run_site != ran if one.run_site is not None else _did(one, failure) or _used(one, failure))
            for one in self.before(failure.seq, failure.step)
        )  # fmt: skip

    def other_call(self, failure: Failure) -> Site | None:
        """Return the failing call from which on the way to the layer that failed was another one than when it
        worked before; None where it never did, or always on the same way.
        """
        failing = [*failure.frames] or ([failure.site] if failure.site is not None else [])
        good = self.good_layer(failure)
        if good is None or good.site is None or good.mode != failure.mode:
            return None
        went = [*good.callers[::-1], good.site]
        pairs = list(zip(reversed(went), reversed(failing), strict=False))  # the innermost first
        other = [now for was, now in pairs if _one_function(was, now) and not _same_call(was, now)]
        return other[-1] if other else None

    def good_layer(self, failure: Failure) -> Node | None:
        """Return the last node that did, wherever it was called, what the failing layer did, and succeeded."""
        for node in self.before(failure.seq, failure.step) if failure.module else ():
            if node.module == failure.module and node.phase == "forward" and _did(node, failure):
                return node
        return None

    def finding(
        self,
        kind: str,
        *,
        what: str,
        candidates: Sequence[Candidate],
        confidence: float = 0.5,
        failed: Site | None = None,
        when: str = "",
        body: Sequence[str] = (),
        tries: Sequence[str] = (),
        operands: Sequence[Operand] = (),
        evidence: Sequence[int] = (),
        fits: Sequence[int | None] = (),
    ) -> Finding:
        """Return a finding with its report written; candidates on one line count once.

        Candidates with clues are ranked by them, and how certain the first is comes out of the ranking. Of
        others the order stands, and `confidence` is the strength of the evidence. The finding states the share
        measured for that strength.
        """
        lines = ranked(candidates)
        weighed = any(one.clues for one in lines)
        text = compose(
            self.run, self.source, what=what, candidates=lines, failed=failed, when=when, body=body,
            tries=tries, seq=evidence[0] if evidence else None,
        )  # fmt: skip
        return Finding(
            kind=kind, site=lines[0].site if lines else None, text=text, candidates=tuple(lines),
            operands=tuple(operands), evidence=tuple(evidence), fits=tuple(fits),
            confidence=measured_lead(certainty(lines)) if weighed else measured(confidence),
        )  # fmt: skip


def _did(node: Node, failure: Failure) -> bool:
    """Whether `node` is another call that did what the failure did, and succeeded."""
    return node.seq != failure.node and node.execution != "raised" and node.family == failure.family


def _used(node: Node, failure: Failure) -> bool:
    """Whether `node` is a product with the very weight that the failing layer was to use."""
    held = (one for one in failure.operands if one.role == "weight" or one.origin == "parameter")
    weights = {one.name for one in held if one.name}
    if node.seq == failure.node or node.execution == "raised":
        return False
    return node.family in ("linear", "matmul") and any(one.name in weights for one in node.inputs)


def _one_function(one: Site, other: Site) -> bool:
    """Whether both are in one function: there it called twice."""
    return (one.file, one.function) == (other.file, other.function)


def _same_call(one: Site | None, other: Site | None) -> bool:
    """Whether both are one line, and one expression of it where that is known."""
    if one is None or other is None or (one.file, one.line) != (other.file, other.line):
        return False
    ends = (one.column, one.end_column), (other.column, other.end_column)
    return ends[0] == ends[1] or one.column < 0 or other.column < 0
