"""Unrecorded: weights were computed with, but no graph was made: inside no_grad, turned off, or all frozen."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import Account, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused import switches
from graphdebug.diagnosis.shapes.geometry import Link
from graphdebug.diagnosis.words import listing
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate

__all__ = ["learned", "state"]

_RECORD = ["compute what is trained outside of it; it is for evaluation"]
_THAW = ["freeze only the layers that are not trained", "set requires_grad of those that are after it"]
_ON = ["put it in a with, so that it ends: with torch.no_grad():", "turn it on again: set_grad_enabled(True)"]


def state(evidence: Evidence, failure: Failure, links: Sequence[Link]) -> Account | None:
    """The graph was not made because of a state: inside no_grad, turned off for good, or all weights frozen."""
    computed = learned(evidence, failure.operands[0])
    lines = [one for node in computed for one in (node.site, *node.callers) if one is not None]
    off = switches.block_without(evidence.source, lines)
    if off is not None:
        body = ["what was computed from weights there has no history"]
        made = made_by(computed[0], "computed without a graph")
        return Account([Candidate(off, "declaration", "no graph is recorded inside"), *made], body, _RECORD)
    frames = [*lines, *reversed(failure.frames), *([failure.site] if failure.site is not None else [])]
    frozen = failure.detail.get("frozen")
    names = {
        one.name for node in computed for each in node.inputs
        if (one := evidence.provenance.stored(each)) is not None and one.origin != "buffer"
    }  # fmt: skip
    if isinstance(frozen, list) and names and names <= set(frozen):
        body = [f"all {len(names)} weights that it was computed from are frozen: requires_grad is False"]
        made = made_by(computed[0], "computed from frozen weights alone")
        sites = switches.freezing(evidence.source, frames)
        lines_off = [Candidate(one, "declaration", "takes requires_grad from the weights") for one in sites]
        return Account([*lines_off, *made], body, _THAW)
    still = failure.detail.get("recording") is False
    left = switches.left_off(evidence.source, frames) if still or (isinstance(frozen, list) and names) else []
    if still or left:
        body = ["recording of gradients was turned off, until something turns it on again"]
        return Account([Candidate(one, "declaration", "turns it off") for one in left], body, _ON)
    graded = _graded(evidence, failure, links)
    if graded:
        body = [f"{listing(sorted({one.name for one in graded}))} does not require a gradient"]
        return Account(graded, body, ["make it with requires_grad=True"])
    return None


def _graded(evidence: Evidence, failure: Failure, links: Sequence[Link]) -> list[Candidate]:
    """Return the lines that made the plain tensors whose gradients the program reads or that it optimizes."""
    if failure.site is None:
        return []
    wanted = switches.graded(evidence.source, failure.site)
    found = {}
    for node, _ in links:
        frames = [*reversed(node.callers), *([node.site] if node.site is not None else [])]
        for one in node.inputs:
            name = evidence.provenance.own_name(one, frames, node.function)
            made = evidence.source.assignment(name, failure.site) if name in wanted else None
            if made is not None:
                found[name] = Candidate(made, "declaration", f"makes {name} without requires_grad", name)
    return list(found.values())


def learned(evidence: Evidence, loss: Operand) -> list[Node]:
    """Return the nodes that took a weight on any way to `loss`, the nearest first."""
    waiting, seen, found = [loss.producer], set[int](), []
    while waiting and len(seen) < 2000:
        node = evidence.provenance.node(waiting.pop(0))
        if node is None or node.seq in seen or node.phase != "forward":
            continue
        seen.add(node.seq)
        if any(evidence.provenance.stored(one) is not None for one in node.inputs):
            found.append(node)
        waiting += [one.producer for one in node.inputs]
    return found
