"""Unreached: gradients that were asked for and are None, where no exception said so."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis import loops
from graphdebug.diagnosis.account import Account, call, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused.cuts import CUTS, KEEP, is_whole
from graphdebug.diagnosis.refused.ungraphed import LEAVES, account_of
from graphdebug.diagnosis.trails import trail
from graphdebug.model.event import Failure, Node, Operand, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["unreached"]


def unreached(evidence: Evidence) -> Finding | None:
    """Return the finding for gradients that were asked for and are None, where no exception said so."""
    told = next((one for one in evidence.run.notices if one.topic == "no_gradient"), None)
    if told is None or told.site is None:
        return _replaced(evidence) or _lost(evidence)
    target = evidence.provenance.node(told.detail.get("target"))
    loss = (Operand(target.outputs[0], producer=target.seq),) if target is not None and target.outputs else ()
    asked = Failure(
        told.seq, target.step if target is not None else 0, "", told.text, "no_gradient", site=told.site,
        operands=loss, attributes={key: told.detail.get(key) for key in ("recorded_after", "recorded_until")},
    )  # fmt: skip
    sources = told.detail.get("sources") or []
    account = Account([]) if not any(sources) else account_of(evidence, asked)
    named, body = account.candidates, account.body
    if not any(sources):
        asked_by = Operand(TensorFact(None, ""), role="b")
        given = evidence.provenance.arguments.made_at(asked_by, (told.site,))
        named = [Candidate(given, "input", "no variable, and not watched")] if given is not None else []
        value = evidence.provenance.arguments.given(told.site, asked_by)
        read = (ast.Name, ast.Attribute)
        names = (
            [ast.unparse(one) for one in ast.walk(value) if isinstance(one, read)] if value is not None else []
        )
        rebound = loops.rebound(evidence.source, names, told.site)
        if rebound is not None:
            why = "puts a plain tensor in the variable's place"
            named = [Candidate(rebound, "origin", why), *named]
        body = ["it is asked for by a plain tensor: a tape follows only variables, and what is watched"]
    tries = ["make it a variable, or watch it: tape.watch(x)"] if not any(sources) else account.tries
    return evidence.finding(
        "no_gradient", what="a gradient is None: nothing leads from the target to what it was asked by",
        candidates=[*named, *call(asked, "asks for it")], confidence=0.7, failed=told.site,
        when=f"step {asked.step}", body=[f"  {line}" for line in body], tries=tries, operands=loss,
        evidence=(told.seq,),
    )  # fmt: skip


def _replaced(evidence: Evidence) -> Finding | None:
    """Return the finding for gradients that are None because some of what was asked by are plain tensors."""
    plain = (one for one in evidence.run.notices if one.topic == "some_gradients" and one.detail.get("plain"))
    told = next(plain, None)
    if told is None or told.site is None:
        return None
    value = evidence.provenance.arguments.given(told.site, Operand(TensorFact(None, ""), role="b"), "gradient")
    if isinstance(value, ast.Name):
        value = evidence.source.assigned(value.id, told.site)[1] or value
    places = [
        at for at in told.detail["plain"] if isinstance(value, ast.List | ast.Tuple) and at < len(value.elts)
    ]
    names = [ast.unparse(value.elts[at]) for at in places] if isinstance(value, ast.List | ast.Tuple) else []
    line = loops.rebound(
        evidence.source, names or ([ast.unparse(value)] if value is not None else []), told.site
    )
    if line is None:
        return None
    return evidence.finding(
        "no_gradient", what="a gradient is None: it is asked for by a plain tensor",
        candidates=[Candidate(line, "origin", "puts a plain tensor in the variable's place"),
                    Candidate(told.site, "caller", "asks for the gradient")],
        confidence=0.7, failed=told.site, evidence=(told.seq,),
        body=["  a tape follows only variables, and what is watched; what is computed of one is none"],
        tries=["write into the variable: v.assign_sub(step), not v = v - step"],
    )  # fmt: skip


def _lost(evidence: Evidence) -> Finding | None:
    """Return the finding for a gradient that is None, while others are not: where what was computed with the
    variable was cut off, or went on in plain Python.
    """
    told = next(
        (one for one in evidence.run.notices if one.topic == "some_gradients" and one.detail.get("missing")),
        None,
    )
    began = (
        step
        for step in reversed(evidence.steps)
        if told is not None and evidence.run.step(step).nodes[0].seq < told.seq
    )
    step = next(began, None)
    if told is None or step is None or told.site is None:
        return None
    name = told.detail["missing"][0]
    nodes = [one for one in evidence.run.step(step).nodes if one.phase == "forward" and one.seq < told.seq]
    live, cut = dict[int | None, Node](), None
    for node in nodes:
        if any(one.name == name or one.producer in live for one in node.inputs) and node.outputs:
            if node.function in CUTS or is_whole(node):
                cut = cut or node
            else:
                live[node.seq] = node
    taken = {one.producer for node in nodes for one in node.inputs}
    ends = [node for seq, node in live.items() if seq not in taken]
    lines = made_by(cut, f"the {cut.function} cuts the graph") if cut is not None else []
    for end in ends if cut is None else ():
        lines = lines or _in_python(evidence, [one for one in nodes if one.seq > end.seq], end)
    if not lines:
        return None
    return evidence.finding(
        "no_gradient", what=f"the gradient of {name} is None, while others are not",
        candidates=[*lines, Candidate(told.site, "caller", "asks for the gradient")], confidence=0.7,
        failed=told.site, body=[f"  what was computed with {name} goes on there without its history"],
        tries=KEEP, evidence=(told.seq,),
    )  # fmt: skip


def _in_python(evidence: Evidence, nodes: Sequence[Node], gone: Node) -> list[Candidate]:
    """Return the line in plain Python that what `gone` gave went through to one of `nodes`."""
    for node in nodes:
        for one in node.inputs:
            plain = one.producer is None and one.fact.shape == gone.outputs[0].shape and node.site is not None
            value = (
                evidence.provenance.arguments.given(node.site, one, node.function)
                if plain and node.site
                else None
            )
            ways = trail(evidence.source, value, node.site) if value is not None and node.site else []
            left = [at for at, _ in ways if LEAVES.search(evidence.source.line(at))]
            if left:
                return [Candidate(left[0], "origin", "leaves the graph"), *made_by(gone)]
    return []
