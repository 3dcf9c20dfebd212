"""Absent: a gradient that was read where there is none, and why the tensor has none."""

from __future__ import annotations

from graphdebug.diagnosis.account import Account, call, made_by, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused import switches
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Failure, Operand, Site
from graphdebug.model.finding import Candidate

__all__ = ["explain"]


def explain(evidence: Evidence, failure: Failure) -> Account:
    """Account for a gradient that is None, from what the tensor is and what ran before."""
    asked = failure.operands[0]
    name = asked.expression or asked.name or "it"
    read = call(failure, f"reads {name}.grad")
    if failure.detail.get("leaf") is False:
        return _computed(evidence, asked, name, read)
    if failure.detail.get("requires_grad") is False:
        sites = switches.freezing(evidence.source, _frames(failure)) if asked.origin == "parameter" else []
        lines = [Candidate(one, "declaration", "takes requires_grad from the weights") for one in sites]
        lines = lines or operand_origin(evidence, asked, failure, f"makes {name} without requires_grad")
        body = [f"{name} does not require a gradient: backward passes it by"]
        return Account([*lines, *read], body, [f"{name}.requires_grad_() before it is used"])
    if not failure.detail.get("backwards"):
        body = [f"no backward ran before: {name} has no gradient yet"]
        return Account(read, body, ["read it after loss.backward()"], confidence=0.8)
    if any(one.name == asked.name for one in evidence.run.gradients if asked.name):
        body = [f"{name} had a gradient before; it was set to None since (zero_grad does)"]
        return Account(read, body, ["read it between backward and zero_grad"], confidence=0.7)
    users = [node for node in evidence.before(failure.seq, failure.step) if node.phase == "forward"
             and any(one.name == asked.name and asked.name for one in node.inputs)]  # fmt: skip
    made = operand_origin(evidence, asked, failure, f"makes {name}")
    if users:
        off = switches.block_without(
            evidence.source, [one for one in (users[0].site, *users[0].callers) if one]
        )
        cut = [Candidate(off, "declaration", "no graph is recorded inside")] if off is not None else []
        body = [f"{name} was used at {place(users[0].site)}; backward did not come there"]
        tries = ["compute it outside of that block"] if cut else ["call backward on a loss that it leads to"]
        return Account([*cut, *made_by(users[0], f"uses {name}"), *read], body, tries, confidence=0.6)
    body = [f"nothing that was run used {name}: backward can't come to it"]
    return Account([*made, *read], body, ["use it on the way to the loss"], confidence=0.75)


def _computed(evidence: Evidence, asked: Operand, name: str, read: list[Candidate]) -> Account:
    """Only leaves keep their gradients: the tensor was computed from one."""
    node = evidence.provenance.node(asked.producer)
    made = made_by(node, f"the {node.function} makes {name}: no leaf") if node is not None else []
    root, _ = evidence.provenance.way(asked)
    leaf = evidence.provenance.site(root)
    body = [f"{name} was computed, and only leaves keep their gradient"]
    if leaf is not None:
        body[0] += f"; the way began at {place(leaf)}"
    tries = [
        f"{name}.retain_grad() before backward",
        "keep the leaf under a name of its own and read its .grad",
    ]
    return Account([*made, *read], body, tries, confidence=0.85)


def _frames(failure: Failure) -> list[Site]:
    return [*([failure.site] if failure.site is not None else []), *reversed(failure.frames)]
