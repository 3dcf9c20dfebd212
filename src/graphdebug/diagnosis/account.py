"""Account: what a rule has to say of a failure, and the candidate lines that rules have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.geometry import Link, Sizes
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate

__all__ = ["Account", "call", "data_entry", "made_by", "named_layer", "operand_origin"]


@dataclass
class Account:
    """What a rule has to say of a failure: the lines in question, the evidence, the ways out."""

    candidates: list[Candidate]
    body: list[str] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    fits: Sizes = ()
    confidence: float = 0.8
    kind: str = ""
    """The finding's kind, where it is not the failure's own."""


def call(failure: Failure, why: str = "the failing call") -> list[Candidate]:
    """Return the failing line itself as a candidate."""
    return [Candidate(failure.site, "expression", why, failure.name)] if failure.site is not None else []


def data_entry(
    evidence: Evidence, root: Operand, failure: Failure, links: Sequence[Link] = ()
) -> list[Candidate]:
    """Return the line where the data at the start of a way came from."""
    site = evidence.provenance.root_site(root, failure.frames, links)
    words = f"the input {root.name} {shape_words(root.fact.shape)}".replace("  ", " ")
    return [Candidate(site, "input", words, root.name)] if site is not None else []


def named_layer(evidence: Evidence, module: str) -> str:
    """Return what to call a layer: its path, with its class where the path is only a number in a sequence."""
    declared = evidence.provenance.declared(module) if module.rpartition(".")[2].isdigit() else None
    return f"{declared.type} {module}" if declared is not None else module


def made_by(node: Node, why: str = "") -> list[Candidate]:
    """Return the line of a node on the way."""
    return [Candidate(node.site, "origin", why or f"the {node.function}", node.name)] if node.site else []


def operand_origin(evidence: Evidence, operand: Operand, failure: Failure, why: str) -> list[Candidate]:
    """Return the line that made an operand: its declaration, its producer, or where its data came from."""
    provenance = evidence.provenance
    site = provenance.site(operand) or provenance.root_site(operand, failure.frames)
    if site is None:
        return []
    declared = evidence.provenance.stored(operand) is not None or operand.origin in ("feed", "variable")
    return [Candidate(site, "declaration" if declared else "origin", why, operand.name)]
