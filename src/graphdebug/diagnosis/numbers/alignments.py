"""Alignments: a loss that fits targets into fewer or more steps, which is infinite where they do not fit."""

from __future__ import annotations

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.words import node_name
from graphdebug.model.event import Node
from graphdebug.model.finding import Candidate

__all__ = ["shortened"]


def shortened(evidence: Evidence, node: Node) -> list[Candidate]:
    """Return the layer that left fewer steps than the targets of an alignment have places, where more came."""
    if node.function != "ctc_loss" or len(node.inputs) < 2:
        return []
    steps, places = (node.inputs[0].fact.shape or (0,))[0] or 0, (node.inputs[1].fact.shape or (0,))[-1] or 0
    for one in evidence.before(node.seq, node.step):
        if one.step != node.step or one.phase != "forward":
            break
        before = (one.inputs[0].fact.shape if one.inputs else None) or (0,)
        after = (one.outputs[0].shape if one.outputs else None) or (0,)
        if one.family in ("conv", "pool") and (before[-1] or 0) >= places > steps == after[-1]:
            declared = evidence.provenance.declared(one.module) if one.module else None
            site = declared.site if declared is not None and declared.site is not None else one.site
            why = f"{node_name(one)} leaves {steps} of {before[-1]} steps"
            return [Candidate(site, "declaration", why, one.module)] if site is not None else []
    return []
