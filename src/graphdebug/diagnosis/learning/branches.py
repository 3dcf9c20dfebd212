"""Branches: a write that was made outside of the branch that gives it back, and so runs whichever is taken."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Node
from graphdebug.model.finding import Finding

__all__ = ["BranchWatch"]


class BranchWatch:
    """Looks for a choice between two branches that gives back a write which is no part of either.

    A static graph runs what a branch takes in before it chooses. What a branch writes itself takes its inputs
    from the switch, and nothing goes through a switch after it.
    """

    families = ("control",)

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._switched: dict[int, Node] = {}
        self._found: list[Finding] = []

    def see(self, node: Node) -> None:
        """Look at one switch, or at the merge behind it."""
        if node.function == "switch":
            given = next((one.producer for one in node.inputs if one.role == "input"), None)
            write = self._evidence.provenance.node(given)
            if write is not None and write.mutates and write.phase == "forward":
                self._switched[write.seq] = write
        elif node.function == "merge" and self._switched and not self._found:
            write = next(
                (self._switched[o.producer] for o in node.inputs if o.producer in self._switched), None
            )
            if write is not None and write.site is not None:
                self._found.append(self._finding(write, node))

    def findings(self) -> Sequence[Finding]:
        """Return what was found."""
        return self._found

    def _finding(self, write: Node, merge: Node) -> Finding:
        name = write.inputs[0].name if write.inputs else write.name
        return self._evidence.finding(
            "runs_always", what=f"{name} is written whichever branch is taken",
            candidates=[*made_by(write, "is made outside of the branch"), *made_by(merge, "the choice")],
            confidence=0.8, failed=merge.site, when=f"step {write.step}; nothing failed",
            body=["  a branch only gives back what was made before: it runs in every case, then one is chosen"],
            tries=["make it inside the function that is the branch"], operands=write.inputs,
            evidence=(write.seq, merge.seq),
        )  # fmt: skip
