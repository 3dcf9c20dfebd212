"""Branches: a write that was made outside of the branch that gives it back, and so runs whichever is taken."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.calls import called
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Node, Site
from graphdebug.model.finding import Finding

__all__ = ["BranchWatch"]

_MOST = 1000
"""Lines whose writes are remembered."""


class BranchWatch:
    """Looks for a choice between two branches that gives back a write which is no part of either.

    A static graph runs what a branch takes in before it chooses. What a branch writes itself takes its inputs
    from the switch, and nothing goes through a switch after it.
    """

    families = ("control", "assign")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._switched: dict[int, Node] = {}
        self._written: dict[Site, Node] = {}
        """Writes with a line of their own, no initializers: the first of each line."""
        self._merge: Node | None = None
        self._found: list[Finding] = []

    def see(self, node: Node) -> None:
        """Look at one switch, or at the merge behind it."""
        if node.family == "assign":
            if (
                node.mutates
                and node.phase == "forward"
                and node.site is not None
                and len(self._written) < _MOST
            ):
                self._written.setdefault(node.site, node)
        elif node.function == "switch":
            given = next((one.producer for one in node.inputs if one.role == "input"), None)
            write = self._evidence.provenance.node(given)
            if write is not None and write.mutates and write.phase == "forward":
                self._switched[write.seq] = write
        elif node.function == "merge" and not self._found:
            self._merge = self._merge or node
            write = next(
                (self._switched[o.producer] for o in node.inputs if o.producer in self._switched), None
            )
            if write is not None and write.site is not None:
                self._found.append(self._finding(write, node))

    def findings(self) -> Sequence[Finding]:
        """Return what was found."""
        if not self._found and self._merge is not None:
            held = (one for site, one in self._written.items() if _held(self._evidence.source, site))
            self._found += [self._finding(one, self._merge) for one in held][:1]
        return self._found

    def _finding(self, write: Node, merge: Node) -> Finding:
        name = write.inputs[0].name if write.inputs else write.name
        return self._evidence.finding(
            "runs_always", what=f"{name} is written whichever branch is taken",
            candidates=[*made_by(write, "is made outside of the branch"), *made_by(merge, "the choice")],
            confidence=0.8, failed=merge.site, when=f"step {write.step}; nothing failed",
            body=["  a branch only takes up what was made before: it runs in every case, then one is chosen"],
            tries=["make it inside the function that is the branch"], operands=write.inputs,
            evidence=(write.seq, merge.seq),
        )  # fmt: skip


def _held(source: SourceText, site: Site) -> bool:
    """Whether a branch waits for the write made at `site`, by its name, which is made outside of the branch."""
    name, tree = source.target(site), source.tree(site.file)
    if tree is None or not name.isidentifier():
        return False
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    branches = {ast.unparse(one) for call in calls if called(call) == "cond" for one in call.args}
    return any(
        isinstance(function, ast.FunctionDef) and function.name in branches
        and not function.lineno <= site.line <= (function.end_lineno or 0)
        and any(
            isinstance(call, ast.Call) and called(call) == "control_dependencies"
            and name in {one.id for one in ast.walk(call) if isinstance(one, ast.Name)}
            for call in ast.walk(function)
        )
        for function in ast.walk(tree)
    )  # fmt: skip
