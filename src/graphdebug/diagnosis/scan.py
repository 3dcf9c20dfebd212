"""Scan: one pass over a run's events for all that no exception points at, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.branches import BranchWatch
from graphdebug.diagnosis.learning.divergence import overshot, runaway
from graphdebug.diagnosis.learning.dropouts import DropoutWatch
from graphdebug.diagnosis.learning.gradients import GradientWatch
from graphdebug.diagnosis.learning.handling import HandlingWatch
from graphdebug.diagnosis.learning.histories import HistoryWatch
from graphdebug.diagnosis.learning.ignored import IgnoredWatch
from graphdebug.diagnosis.learning.modes import ModeWatch
from graphdebug.diagnosis.learning.ranges import blank, unreachable
from graphdebug.diagnosis.learning.restarts import RestartWatch
from graphdebug.diagnosis.learning.sums import SumWatch
from graphdebug.diagnosis.learning.untold import untold
from graphdebug.diagnosis.numbers.axes import AxisWatch
from graphdebug.diagnosis.numbers.causes import only_grows
from graphdebug.diagnosis.numbers.echoes import EchoWatch
from graphdebug.diagnosis.numbers.integers import IntegerWatch
from graphdebug.diagnosis.numbers.losses import LossWatch
from graphdebug.diagnosis.numbers.masks import MaskWatch
from graphdebug.diagnosis.numbers.mixing import MixingWatch
from graphdebug.diagnosis.numbers.nonfinite import NonfiniteWatch
from graphdebug.diagnosis.numbers.overflows import OverflowWatch
from graphdebug.diagnosis.numbers.pairs import PairWatch
from graphdebug.diagnosis.numbers.probabilities import ProbabilityWatch
from graphdebug.diagnosis.numbers.sequences import sequences
from graphdebug.diagnosis.numbers.verdicts import born
from graphdebug.diagnosis.numbers.zeros import ZeroWatch
from graphdebug.diagnosis.shapes.broadcast import BroadcastWatch
from graphdebug.diagnosis.shapes.fold import FoldWatch
from graphdebug.model.event import Event, Failure, Gradient, Node, Site
from graphdebug.model.finding import Finding

__all__ = ["Scan"]

_OF_GROWTH = ("exploding_gradient",)
"""Findings that say once more what a loss that runs away says."""

_OF_GROWING = ("clipped_too_early", "uncleared_gradient")
"""Findings of what let gradients grow until a value overflowed."""

_OF_SUMS = ("divergence", "exploding_gradient", "uncleared_gradient")
"""Findings that are the effect of gradients which are added up for ever."""

_OF_NAN = ("inverted_mask",)
"""Findings that a NaN which they made says already."""

_BEHIND = 6
"""Ops between whole numbers that went wrong and a NaN that they made."""

_OF_EFFECT = ("dead_units", "vanishing_gradient")
"""Findings that may be the effect of another fault of the same line."""


class Scan:
    """Runs every watch over a stream of events.

    Args:
        evidence: what the watches look at.
        allow: patterns of nodes that may give NaN or Inf, beside those that the run was recorded with.

    """

    def __init__(self, evidence: Evidence, allow: Sequence[str] = ()) -> None:
        self._evidence = evidence
        start = evidence.run.start
        recorded = start.options.get("allow", ()) if start is not None else ()
        self.nonfinite = NonfiniteWatch((*recorded, *allow))
        self.nonfinite.always_scaled = any(one.type == "LossScaler" for one in evidence.run.declarations)
        self.losses = LossWatch()
        self.folds = FoldWatch(evidence)
        self.broadcasts = BroadcastWatch(evidence)
        self.axes = AxisWatch(evidence)
        self.gradients = GradientWatch(evidence)
        self.handling = HandlingWatch(evidence)
        self.modes = ModeWatch(evidence)
        self.histories = HistoryWatch(evidence)
        self.ignored = IgnoredWatch(evidence)
        self.integers = IntegerWatch(evidence)
        self.overflows = OverflowWatch(evidence)
        self.echoes = EchoWatch(evidence)
        self.masks = MaskWatch(evidence)
        self.pairs = PairWatch(evidence)
        self.mixing = MixingWatch(evidence)
        self.probabilities = ProbabilityWatch(evidence)
        self.zeros = ZeroWatch(evidence)
        self.restarts = RestartWatch(evidence)
        self.dropouts = DropoutWatch(evidence)
        self.branches = BranchWatch(evidence)
        self.sums = SumWatch(evidence)
        self._by_family: dict[str, list[Callable[[Node], None]]] = {}
        silent = (
            self.folds, self.broadcasts, self.axes, self.masks, self.mixing, self.integers, self.overflows,
            self.probabilities, self.zeros, self.restarts, self.dropouts, self.ignored, self.histories,
            self.echoes, self.pairs, self.branches,
        )  # fmt: skip
        self._silent = silent
        for watch in (*silent, self.losses, self.gradients, self.handling, self.modes, self.sums):
            for family in watch.families:
                self._by_family.setdefault(family, []).append(watch.see)

    def over(self, events: Iterable[Event]) -> Scan:
        """Look at `events`, in their order."""
        step = -1
        for event in events:
            kind = type(event)
            if kind is Node:
                assert isinstance(event, Node)
                if event.step > step:
                    self.nonfinite.end_step()
                    self.broadcasts.end_step()
                    self.gradients.end_step()
                    step = event.step
                self.nonfinite.see(event)
                for see in self._by_family.get(event.family, ()):
                    see(event)
            elif kind is Gradient:
                assert isinstance(event, Gradient)
                gradient = self._evidence.provenance.looked_at(event)
                self.nonfinite.gradient(gradient)
                self.gradients.gradient(gradient)
                self.handling.gradient(gradient)
        self.nonfinite.end_step()
        self.gradients.end_step()
        return self

    def _of_steps(self) -> list[Finding]:
        away = runaway(self._evidence, self.losses)
        away = away or overshot(self._evidence, self.losses, self.gradients.first_updates())
        found = [*self.handling.findings(), *self.modes.findings(), *self.gradients.findings()]
        found += sequences(self._evidence)
        found += untold(self._evidence) if not any(one.kind == "wrong_mode" for one in found) else []
        return [away, *(one for one in found if one.kind not in _OF_GROWTH)] if away is not None else found

    def _is_effect(self) -> bool:
        """Whether the first NaN or Inf was made of whole numbers that went wrong before."""
        verdict, provenance = self.nonfinite.verdict, self._evidence.provenance
        causes = {one.evidence[0] for watch in (self.integers, self.overflows) for one in watch.findings()}
        near = {verdict.node.seq} if causes and verdict is not None and verdict.node is not None else set()
        for _ in range(_BEHIND):
            if near & causes:
                return True
            nodes = [provenance.node(seq) for seq in near]
            near = {one.producer for node in nodes if node is not None for one in node.inputs
                    if one.producer is not None and one.producer < node.seq}  # fmt: skip
        return False

    def value(self, failure: Failure | None = None) -> Finding | None:
        """Return the finding for the NaN or Inf that did harm first."""
        verdict = self.nonfinite.verdict
        return born(self._evidence, verdict, self.losses, failure) if verdict is not None else None

    def findings(self, failure: Failure | None = None) -> list[Finding]:
        """Return what the watches found, the most certain first."""
        sums = self.sums.findings()
        found = self._found(failure)
        return [*sums, *(one for one in found if not sums or one.kind not in _OF_SUMS)]

    def _found(self, failure: Failure | None) -> list[Finding]:
        value = self.value(failure)
        found = [value] if value is not None and not self._is_effect() else []
        for watch in self._silent:
            found += [
                one for one in watch.findings()
                if value is None or one.kind not in _OF_NAN or not _shares(one, {value.site})
            ]  # fmt: skip
        if self.nonfinite.verdict is None:
            of_data = [*blank(self._evidence), *unreachable(self._evidence)] if failure is None else []
            if of_data:  # what became of it is no other fault
                return [*of_data, *(one for one in found if one.kind not in _OF_EFFECT)]
            lines = {one.site for one in found}
            told = [one for one in self._of_steps() if one.kind not in _OF_EFFECT or not _shares(one, lines)]
            found += told
        elif only_grows(self.nonfinite.verdict.node):  # too large: what let gradients grow comes first
            found += [one for one in self.handling.findings() if one.kind in _OF_GROWING]
        return sorted(found, key=lambda one: -one.confidence)


def _shares(finding: Finding, lines: set[Site | None]) -> bool:
    """Whether a finding is about one of these lines."""
    known = {(one.file, one.line) for one in lines if one is not None}
    return any((one.site.file, one.site.line) in known for one in finding.candidates)
