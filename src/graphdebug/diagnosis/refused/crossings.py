"""Crossings: the lines where what one network gave enters a loss whose backward must not go through it."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Failure, Node, Site
from graphdebug.model.finding import Candidate

__all__ = ["first_use", "in_loop", "second_use", "stale_use"]

_DETACH = "takes it into the first loss, which has no use for its history: detach it there"
_DETACH_LATER = "takes it into the second loss, which does not train what made it: detach it there"
_STALE = "takes it into a loss after its weights were changed: detach it there, or run it again"
_BACK = 32
"""Nodes that are looked at for the weights behind a tensor."""


def first_use(evidence: Evidence, failure: Failure, carried: Node) -> list[Candidate]:
    """Return the line that took what `carried` gave into the first loss, where that loss trains others.

    The optimizer that stepped between the two backwards had none of the weights that made it: the first
    loss had no use for its history.
    """
    written: set[str] = set()
    use: Node | None = None
    later = backward = False
    for node in evidence.before(failure.seq, failure.step):
        if node.phase == "optimizer" and not backward:
            written.update(one.name for one in node.inputs if one.name)
        later |= node.phase == "forward" and node.family not in ("fill", "check")
        backward |= later and node.phase == "backward"  # what the failing call itself ran comes before
        if backward and node.phase == "forward" and any(one.producer == carried.seq for one in node.inputs):
            use = node
        if node.seq <= carried.seq:
            break
    own = {one.name for one in carried.inputs if evidence.provenance.stored(one) is not None}
    if use is None or not written or not own or own & written:
        return []
    lines = in_loop(failure, [one for one in (use.site, *use.callers) if one is not None])
    return [Candidate(one, "caller", _DETACH) for one in lines]


def second_use(evidence: Evidence, failure: Failure, carried: Node) -> list[Candidate]:
    """Return the line that took what `carried` gave into the second loss, where that loss trains others.

    The optimizer that stepped between the two backwards trained what made it, and has none of the weights
    that the second loss passes it through.
    """
    stepped: set[str] = set()
    section: list[Node] = []
    for node in evidence.before(failure.seq, failure.step):
        if node.phase == "forward" and node.family not in ("fill", "check"):
            section.insert(0, node)
        elif node.phase == "optimizer":
            stepped.update(one.name for one in node.inputs if one.name)
        elif node.phase == "backward" and section:
            break
    reached, weights, uses = {carried.seq}, set[str](), []
    for node in section:
        if any(one.producer in reached for one in node.inputs):
            uses.append(node)
            reached.add(node.seq)
            weights |= _weights(evidence, node)
    if not uses or not weights or weights & stepped or not _made_with(evidence, carried) & stepped:
        return []
    lines = in_loop(failure, [one for one in (uses[0].site, *uses[0].callers) if one is not None])
    return [Candidate(one, "caller", _DETACH_LATER) for one in lines]


def stale_use(evidence: Evidence, failure: Failure, writer: Node) -> list[Candidate]:
    """Return the line that took into the failing loss what weights had made that an optimizer, `writer` being
    the first of its nodes, has changed since, together with what other weights made: those the loss is for.

    Where the loss was computed before the optimizer stepped, or of such values alone, there is no such line.
    """
    changed: set[str] = set()
    later: list[Node] = []
    for node in evidence.before(failure.seq, failure.step):
        if node.seq < writer.seq:
            break
        if node.phase == "optimizer":
            changed |= {node.inputs[at].name for at in node.mutates if at < len(node.inputs)}
        elif node.phase == "forward" and node.family not in ("fill", "check"):  # backward fills a one
            later.insert(0, node)
    for node in later:
        old = [evidence.provenance.node(one.producer) for one in node.inputs]
        stale = [one for one in old if one is not None and one.seq < writer.seq and one.phase == "forward"]
        others = [_made_with(evidence, one) for one in old if one is not None]
        others = [weights for weights in others if weights and not weights & changed]
        if others and any(_made_with(evidence, one) & changed for one in stale):
            lines = in_loop(failure, [one for one in (node.site, *node.callers) if one is not None])
            return [Candidate(one, "caller", _STALE) for one in lines]
    return []


def _weights(evidence: Evidence, node: Node) -> set[str]:
    """Return the names of the stored tensors that a node takes."""
    return {one.name for one in node.inputs if one.name and evidence.provenance.stored(one) is not None}


def _made_with(evidence: Evidence, node: Node) -> set[str]:
    """Return the names of the weights that what a node gave was made with, as far back as is of use."""
    names, waiting, seen = set[str](), [node], set[int]()
    while waiting and len(seen) < _BACK:
        one = waiting.pop(0)
        seen.add(one.seq)
        names |= _weights(evidence, one)
        before = [evidence.provenance.node(it.producer) for it in one.inputs]
        waiting += [it for it in before if it is not None and it.phase == "forward" and it.seq not in seen]
    return names


def in_loop(failure: Failure, frames: Sequence[Site]) -> Sequence[Site]:
    """Return the frame that is in the function which runs backward, or which calls the one that does."""
    loops = [*reversed(failure.frames), *([failure.site] if failure.site is not None else [])]
    for loop in loops:
        for one in frames:
            if (one.file, _bare(one.function)) == (loop.file, _bare(loop.function)):
                return [one]
    return []


def _bare(function: str) -> str:
    """Return a function's name without its class: a graph's stacks do not have it."""
    return function.rpartition(".")[2]
