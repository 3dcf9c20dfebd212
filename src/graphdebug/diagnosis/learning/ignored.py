"""Ignored: a derivative that the user wrote, which does not use the gradient that comes in."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Node, Site
from graphdebug.model.finding import Finding

__all__ = ["IgnoredWatch"]

_SEEN = 3
"""Calls of one derivative that are looked at; all must ignore what comes in."""


class IgnoredWatch:
    """Collects what each derivative of the user's runs, and whether a gradient goes into it."""

    families = (
        "elementwise", "matmul", "linear", "conv", "reduce", "where", "softmax", "norm", "cast", "reshape",
        "permute", "cat", "index",
    )  # fmt: skip

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._group: list[Node] = []
        self._before: Node | None = None
        """The last backward node that was no derivative of the user's."""
        self._passed: dict[Site, list[Node]] = {}
        """Calls that used no gradient, by the line that gave the last value."""
        self._used: set[str] = set()
        """Derivatives into which a gradient went."""

    def see(self, node: Node) -> None:
        """Look at one node of backward."""
        if node.phase != "backward":
            self._close(None)
            self._before = None
            return
        if self._group and (node.name, node.forward) != (self._group[0].name, self._group[0].forward):
            self._close(node)
        if self._is_users(node):
            self._group.append(node)
        else:
            self._before = node

    def findings(self) -> Sequence[Finding]:
        """Return the derivatives that never used what came in."""
        self._close(None)
        return [
            self._finding(calls[-1]) for calls in self._passed.values() if calls[-1].name not in self._used
        ][:3]

    def _is_users(self, node: Node) -> bool:
        """Whether the line that ran is one of the user's own, not that of the forward node."""
        if node.mode != "eager" or node.run_site is not None or node.site is None or not node.name:
            return False  # what a graph computes keeps the line that it was built on
        forward = self._evidence.provenance.node(node.forward)  # None for what belongs to no forward node
        return forward is not None and forward.site is not None and forward.site.line != node.site.line

    def _close(self, following: Node | None) -> None:
        """Judge the derivative that has ended; `following` runs next and must take what it gave."""
        group, self._group = self._group, []
        if not group or self._before is None or following is None:
            return
        own = {node.seq for node in group}
        came = [self._evidence.provenance.node(one.producer) for node in group for one in node.inputs]
        if any(one is not None and one.phase == "backward" and one.seq not in own for one in came):
            self._used.add(group[0].name)
            return
        unknown = any(one.producer is None and one.origin == "unknown" for node in group for one in node.inputs)
        last, shape = group[-1], self._before.outputs[0].shape if self._before.outputs else ()
        taken = any(one.producer in own for one in following.inputs)
        if taken and not unknown and shape and last.site is not None:
            calls = self._passed.setdefault(last.site, [])
            if len(calls) < _SEEN:
                calls.append(last)

    def _finding(self, node: Node) -> Finding:
        forward = self._evidence.provenance.node(node.forward)
        calls = made_by(forward, "its forward") if forward is not None else []
        return self._evidence.finding(
            "gradient_ignored", what=f"{node.name} does not use the gradient that comes in",
            candidates=[*made_by(node, "gives the gradient that leaves"), *calls], confidence=0.85,
            when=f"backward, step {node.step}; nothing failed",
            body=["  what it gives depends on what forward saw alone: all that comes after in the network,",
                  "  the loss included, has no influence on the gradients before it (the chain rule)"],
            tries=["multiply what it gives by the gradient that came in"], operands=node.inputs,
            evidence=(node.seq,),
        )  # fmt: skip
