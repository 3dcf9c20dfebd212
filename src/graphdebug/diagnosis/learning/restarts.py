"""Restarts: weights that an initializer sets anew before every single step of training."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS
from graphdebug.model.event import Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["RestartWatch"]


class RestartWatch:
    """Looks at the writes of each variable: by its initializer, and by an optimizer.

    Training may well begin anew (a fold, a seed); then it makes more steps than one.
    """

    families = ("assign",)

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._steps: dict[str, int] = {}
        """Updates of each variable since it was last initialized."""
        self._again: dict[str, list[Node]] = {}
        """By variable, the initializations before which it had been updated once, in a row."""

    def see(self, node: Node) -> None:
        """Look at one write."""
        if not node.mutates or not node.inputs:
            return
        name = node.inputs[0].name
        if node.phase == "optimizer":
            self._steps[name] = self._steps.get(name, 0) + 1
            if self._steps[name] > 1:
                self._again.pop(name, None)
        elif node.name == f"{name}/Assign":
            if self._steps.get(name) == 1 and len(self._again.get(name, ())) < LEAST_STEPS:
                self._again.setdefault(name, []).append(node)
            self._steps[name] = 0

    def findings(self) -> Sequence[Finding]:
        """Return the finding for weights that forget every step."""
        names = [name for name, many in self._again.items() if len(many) >= LEAST_STEPS]
        sites = {node.run_site for name in names for node in self._again[name]}
        site: Site | None = next(iter(sites), None)
        if site is None or len(sites) != 1:
            return []
        return [
            self._evidence.finding(
                "weights_reset", what=f"{names[0]} is initialized again before every step",
                candidates=[Candidate(site, "caller", "runs the initializer")], confidence=0.85,
                when="nothing failed",
                body=["  between two initializations it was updated once: no step builds on the one before"],
                tries=["initialize once, before the loop"], evidence=(self._again[names[0]][0].seq,),
            )
        ]  # fmt: skip
