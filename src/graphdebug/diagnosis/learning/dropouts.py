"""Dropouts: units that are dropped at random also where a trained network is judged."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS
from graphdebug.diagnosis.origins import leading
from graphdebug.diagnosis.trails import Place
from graphdebug.model.event import Node, Operand, Shape, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["DropoutWatch"]

_COMPARED = ("greater_equal", "less", "greater", "less_equal")


class DropoutWatch:
    """Looks for steps without an optimizer that compare guesses with labels while units are dropped.

    A network may be judged on the batch that it is trained with, to see how training goes: only steps with
    another number of samples count. Where one run drops nothing, the program knows how to.
    """

    families = ("elementwise", "assign")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._step = -1
        self._dropped: Node | None = None
        self._judged: Shape | None = None
        self._trains = False
        self._trained: set[Shape | None] = set()
        self._steps = 0
        self._found: Node | None = None
        self._spared = False

    def see(self, node: Node) -> None:
        """Look at one node."""
        if node.step != self._step:
            self._end()
            self._step = node.step
        if node.family == "assign":
            self._trains |= node.phase == "optimizer"
        elif node.phase == "forward" and node.function in _COMPARED and self._is_mask(node):
            self._dropped = node
        elif node.function == "equal" and node.phase == "forward" and self._of_guess(node):
            self._judged = node.outputs[0].shape if node.outputs else None

    def _end(self) -> None:
        rate = self._rate(self._dropped) if self._dropped is not None else None
        if self._trains and self._dropped is not None:
            self._steps += 1
            self._trained.add((self._dropped.outputs[0].shape or (None,))[:1])
        elif self._judged and self._dropped is not None and not self._trains:
            self._spared |= rate == 0
            if rate is None:  # nothing was seen of the values: what the program feeds says it
                told = self._told(self._dropped)
                self._spared |= told in (0, 1)
                rate = 0.0 if told in (0, 1, None) else None
            if rate != 0 and self._steps and self._judged[:1] not in self._trained:
                self._found = self._found or self._dropped
        self._dropped = self._judged = None
        self._trains = False

    def _is_mask(self, node: Node) -> bool:
        made = [self._evidence.provenance.node(one.producer) for one in node.inputs]
        drawn = any(one is not None and one.family == "random" and one.function == "uniform" for one in made)
        return drawn and any(one.fact.shape == () for one in node.inputs)

    def _of_guess(self, node: Node) -> bool:
        made = (self._evidence.provenance.node(one.producer) for one in node.inputs)
        return any(one is not None and one.function == "argmax" for one in made)

    def _rate(self, mask: Node) -> float | None:
        """Return the share that is dropped, where the log has it."""
        made = self._evidence.provenance.node(_scalar(mask).producer)
        stats = made.outputs[0].stats if made is not None and made.outputs else None
        return float(stats.max) if stats is not None and stats.max is not None else None

    def _told(self, mask: Node) -> float | None:
        """Return the number that a run was told to drop or keep by, as the program wrote it.

        Where none was fed, it is a number that drops some; None where what was fed can't be read.
        """
        root, _ = self._evidence.provenance.way(_scalar(mask))
        if root.origin != "feed":
            return 0.5
        declared = self._evidence.provenance.declared(root.name)
        if declared is None or declared.site is None or mask.run_site is None:
            return None
        name = self._evidence.provenance.own_name(root)
        place = feeds.fed_value(self._evidence.source, mask.run_site, declared.site, name)
        source = self._evidence.source
        way = [place, *leading(source, place, _is_number)] if place is not None else []
        value = way[-1].value if way else None
        return float(ast.literal_eval(value)) if value is not None and _is_number(way[-1]) else None

    def findings(self) -> Sequence[Finding]:
        """Return the finding for a network that is judged while units are dropped."""
        self._end()
        mask = self._found
        if mask is None or self._spared or self._steps < LEAST_STEPS or mask.run_site is None:
            return []
        root, _ = self._evidence.provenance.way(_scalar(mask))
        rate = self._rate(mask)
        run = [Candidate(mask.run_site, "caller", "judges it")]
        drops = made_by(mask, "drops units")
        fed = self._fed(root, mask.run_site) if root.origin == "feed" else []
        lines = [*fed, *run, *drops] if fed else [*drops, *run]
        share = f"{rate:.3g} of the units" if rate is not None else "units"
        return [
            self._evidence.finding(
                "wrong_mode", what="the network is judged while units are dropped", candidates=lines,
                confidence=0.7, failed=mask.run_site, when=f"step {mask.step}; nothing failed",
                body=[f"  {share} are dropped at random, as in the {self._steps} steps of training"],
                tries=["feed what drops nothing (keep_prob 1, rate 0) where it is judged"] if fed else
                      ["make the rate a placeholder with default 0, and feed it in training"],
                evidence=(mask.seq,),
            )
        ]  # fmt: skip

    def _fed(self, root: Operand, run: Site) -> list[Candidate]:
        declared = self._evidence.provenance.site(root)
        name = self._evidence.provenance.own_name(root)
        line = feeds.fed(self._evidence.source, run, declared, name) if declared is not None else None
        return [Candidate(line or run, "input", f"feeds {name}", root.name)]


def _is_number(place: Place) -> bool:
    return isinstance(place.value, ast.Constant) and type(place.value.value) in (int, float)


def _scalar(mask: Node) -> Operand:
    return next(one for one in mask.inputs if one.fact.shape == ())
