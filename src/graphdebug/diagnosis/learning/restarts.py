"""Restarts: weights that an initializer sets anew before every step of training, or right after restoring."""

from __future__ import annotations

import re
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
        self._restored: dict[str, Node] = {}
        """By variable, its last write, if that restored it."""
        self._lost: list[tuple[str, Node, Node]] = []
        """Variables with their restoring and the initialization that came next."""

    def see(self, node: Node) -> None:
        """Look at one write."""
        if not node.mutates or not node.inputs:
            return
        name = node.inputs[0].name
        restored = self._restored.pop(name, None)
        if node.phase == "optimizer":
            self._steps[name] = self._steps.get(name, 0) + 1
            if self._steps[name] > 1:
                self._again.pop(name, None)
        elif node.name == f"{name}/Assign":
            if self._steps.get(name) == 1 and len(self._again.get(name, ())) < LEAST_STEPS:
                self._again.setdefault(name, []).append(node)
            self._steps[name] = 0
            if restored is not None and not self._lost and self._overwrites(restored, node, name):
                self._lost.append((name, restored, node))
        else:
            made = self._evidence.provenance.node(node.inputs[-1].producer)
            if made is not None and made.family == "copy" and made.inputs:
                made = self._evidence.provenance.node(made.inputs[0].producer)
            if made is not None and made.function.startswith("restore"):
                self._restored[name] = node

    def findings(self) -> Sequence[Finding]:
        """Return the findings for weights that forget every step, or what was restored."""
        return [*self._forgotten(), *self._overwritten()]

    def _overwrites(self, restored: Node, again: Node, name: str) -> bool:
        """Whether both were run in one session, and nothing read the variable in between.

        What was restored may have been judged before training begins anew.
        """
        first, then, source = restored.run_site, again.run_site, self._evidence.source
        session = re.search(r"([A-Za-z_][\w.]*)\.run\(", source.line(then))
        if first is None or then is None or session is None or session[1] not in source.names(first):
            return False
        return source.assignment(session[1], first) == source.assignment(session[1], then) and not any(
            restored.seq < one.seq < again.seq and not one.mutates and any(it.name == name for it in one.inputs)
            for step in range(restored.step, again.step + 1)
            for one in self._evidence.run.step(step).nodes
        )

    def _overwritten(self) -> list[Finding]:
        return [
            self._evidence.finding(
                "weights_reset", what=f"{name} is initialized right after it was restored",
                candidates=[Candidate(again.run_site, "caller", "runs the initializer"),
                            Candidate(restored.run_site, "caller", "restores it")],
                confidence=0.85, when="nothing failed",
                body=["  nothing read it in between: what the checkpoint holds is lost"],
                tries=["run the initializer before restoring, or not at all"], evidence=(again.seq,),
            )
            for name, restored, again in self._lost
            if again.run_site is not None and restored.run_site is not None
        ]  # fmt: skip

    def _forgotten(self) -> list[Finding]:
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
