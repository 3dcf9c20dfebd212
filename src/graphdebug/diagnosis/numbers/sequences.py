"""Sequences: a layer that goes along its first axis, and was given the samples of a batch there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.sampling import sampled
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Declaration, Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["sequences"]

_LOOKED_AT = 3
"""Steps from the first in which a layer is looked for."""
_LABELS = ("labels", "target")


def sequences(evidence: Evidence) -> Iterator[Finding]:
    """Yield the layers declared with the sequence first whose input has the batch first.

    A recurrent layer then goes from sample to sample, and an attention mixes samples; nothing fails.
    """
    seen: set[Site | None] = set()
    for declared in evidence.provenance.declarations():
        if declared.attributes.get("batch_first") is not False or declared.site in seen:
            continue
        nodes = _nodes(evidence, declared.name)
        given = _given(nodes)
        if given is None or len(given.fact.shape or ()) != 3 or (given.fact.shape or (0,))[0] in (None, 1):
            continue
        seen.add(declared.site)
        way = _loaded(evidence, given) or _last_sample(evidence, nodes, given)
        if way:
            yield _finding(evidence, declared, nodes[0], given, way)


def _nodes(evidence: Evidence, module: str) -> Sequence[Node]:
    """Return the forward nodes of a layer in the first step that has any."""
    for step in evidence.steps[:_LOOKED_AT]:
        found = [
            one for one in evidence.run.step(step).nodes
            if one.phase == "forward" and f"{one.module}.".startswith(f"{module}.")
        ]  # fmt: skip
        if found:
            return found
    return ()


def _given(nodes: Sequence[Node]) -> Operand | None:
    """Return the first operand of three axes that a layer took from before it."""
    own = {node.seq for node in nodes}
    for node in nodes:
        for one in node.inputs:
            given = one.producer not in own and one.origin not in ("parameter", "buffer")
            if given and len(one.fact.shape or ()) == 3:
                return one
    return None


def _loaded(evidence: Evidence, given: Operand) -> list[str]:
    taken = sampled(evidence, given, 0)
    if taken is None:
        return []
    how = "were looked up" if taken.index is not None else "were stacked by the loader"
    return [f"  its axis 0 are samples: they {how}, {place(taken.node.site)}"]


def _last_sample(evidence: Evidence, nodes: Sequence[Node], given: Operand) -> list[str]:
    """Say so if the last place is taken on the axis that the layer has for samples, and labels count on the
    other.
    """
    rows = (given.fact.shape or (None,))[0]
    own = {node.seq for node in nodes}
    after = [one for one in evidence.run.step(nodes[0].step).nodes if one.seq > nodes[0].seq]
    for node in after:
        before = node.inputs[0] if node.inputs else None
        if node.function != "select" or node.seq in own or before is None or before.producer not in own:
            continue
        shape, axis, index = before.fact.shape or (), node.attributes.get("axis"), node.attributes.get("index")
        if len(shape) != 3 or shape[0] != rows or axis != 1 or index not in (-1, (shape[1] or 0) - 1):
            continue
        labels = (
            one.fact.shape for it in after if it.family == "loss" for one in it.inputs if one.role in _LABELS
        )
        if any(one and one[0] == rows for one in labels):
            return [f"  the last place of axis 1 is taken, {place(node.site)}; the loss has {rows} labels"]
    return []


def _finding(
    evidence: Evidence, declared: Declaration, first: Node, given: Operand, why: Sequence[str]
) -> Finding:
    site = evidence.provenance.line_of(declared)
    name = f"{declared.type} {declared.name}".strip()
    lines = [Candidate(site, "declaration", "declared with batch_first=False", declared.name)] if site else []
    came = shape_words(given.fact.shape)
    return evidence.finding(
        "wrong_axis", what=f"{name} goes along the batch: it takes the sequence first",
        candidates=[*lines, *made_by(first, "gives it the batch first")],
        confidence=0.85, when=f"{first.phase}, step {first.step}; nothing failed",
        body=[f"  it was declared with batch_first=False and given {came}", *why,
              "  so samples are taken for steps: what one sample gives depends on the others of its batch"],
        tries=["declare it with batch_first=True", "give it the sequence first: transpose(0, 1)"],
        operands=(given,), evidence=(first.seq,),
    )  # fmt: skip
