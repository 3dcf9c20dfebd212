"""Verdicts: the finding for a value that left the finite numbers."""

from __future__ import annotations

from dataclasses import replace

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.divergence import diverged, divergence
from graphdebug.diagnosis.learning.optimizer import asks_for_a_step, optimizer_line
from graphdebug.diagnosis.numbers import wording
from graphdebug.diagnosis.numbers.alignments import shortened
from graphdebug.diagnosis.numbers.causes import (
    OVERFLOWING,
    came_out,
    derivative,
    only_grows,
    reason,
    risk,
)  # fmt: skip
from graphdebug.diagnosis.numbers.entries import entered, followed, piped
from graphdebug.diagnosis.numbers.losses import LossWatch
from graphdebug.diagnosis.numbers.masks import emptied, lines_of
from graphdebug.diagnosis.numbers.nonfinite import Birth, has_nan, inexact
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Failure, Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["born"]


_SCALED = "the gradients of the scaled loss do not fit"
_SKIPPING = ("let the scaler make the step and update itself: it skips steps that overflow",
             "scale less to begin with")  # fmt: skip
_HANDLES = frozenset({"resource", "variant", "string"})
"""What stands for data that are still to be made: an iterator, a dataset, the name of a file."""
_CARRYING = frozenset({"copy", "matmul", "linear", "conv", "reshape", "permute"})
"""Families that make NaN of finite numbers of no common size: where they give it, it has come in."""
_PRODUCTS = ("linear", "matmul", "conv")
_CHAIN = 20
"""Nodes not looked at that are followed up to weights."""
_IN_DATA = ["look for NaN in the data (missing values, a division in the preprocessing)"]
_OWN_EPS = ("give the optimizer an eps above 0: gradients that are always 0 make its divisor 0",)


def born(evidence: Evidence, birth: Birth, losses: LossWatch, failure: Failure | None = None) -> Finding:
    """Return the finding for a birth that did harm."""
    update = _update(evidence, birth.node)
    if update is not None:
        birth = replace(birth, node=update, data=None, harms=birth.harms | {"weights"})
    node = _unseen(evidence, birth.node) if birth.data is None else birth.node
    forward = evidence.provenance.node(node.forward) if node.phase == "backward" else None
    if birth.data is not None:
        return _in_data(evidence, birth, birth.data, failure)
    given = _came_in(evidence, node) if not losses.growing() else None
    if given is not None:
        return _in_pipeline(evidence, birth, node, *given)
    line = optimizer_line(evidence, node.step) if forward is None and node.phase != "backward" else None
    if line is not None and not _of_handles(node) and diverged(node, losses):
        return divergence(evidence, node, line, losses, wording.story(birth), failure)
    grown = node.phase == "backward" and node.family in _PRODUCTS and node.step > 0 and losses.growing()
    away = optimizer_line(evidence, node.step - 1) if grown else None
    if away is not None:  # finite numbers of the forward pass that are too large to be multiplied
        return divergence(evidence, node, away, losses, wording.story(birth), failure)
    return _at(evidence, birth, node, forward, line, failure)


def _at(
    evidence: Evidence, birth: Birth, node: Node, forward: Node | None, line: Site | None,
    failure: Failure | None,
) -> Finding:  # fmt: skip
    source = forward or node
    hidden = emptied(evidence, source)
    masked = lines_of(hidden) if hidden is not None else []
    candidates = [*masked, *shortened(evidence, source), *made_by(source, f"the {source.function}")]
    within = line is not None and node.phase == "optimizer" and asks_for_a_step(evidence, node)
    if within and line is not None:
        candidates = [Candidate(line, "declaration", "makes the optimizer"), *candidates]
    for operand in source.inputs:
        before = evidence.provenance.node(operand.producer)
        if before is not None and before.family in ("softmax", "elementwise", "where", "reduce", "norm"):
            candidates += made_by(before, f"the {before.function} before it")
    if birth.became_nan is not None:
        candidates += made_by(birth.became_nan, f"became NaN in {birth.became_nan.function}")
    scaled = False
    if node.run_site is not None and node.phase == "backward":
        scaled = _scaled_at(evidence, node)
        caller = Candidate(node.run_site, "caller", "scales the loss" if scaled else "the call of backward")
        candidates = [caller, *candidates] if scaled else [*candidates, caller]
    if line is not None and node.step > 0 and not within:
        candidates.append(Candidate(line, "step", "the step size"))
    bad = next((fact for fact in node.outputs if fact.finite is False), None)
    gave = came_out(bad) if bad is not None else "values that are not finite"
    body = [f"  {name}" for name in wording.inputs(evidence, source)]
    body = [*([f"  its mask, {place(hidden.node.site)}: {hidden.why}"] if hidden is not None else []), *body]
    function = source.function.removesuffix("_backward")
    pipeline = _of_handles(source)
    in_backward = node.phase == "backward" and (forward is not None or function != source.function)
    if in_backward:
        cause = (
            f"float16 ends at 65504: {_SCALED}"
            if scaled
            else ""
            if _whole_power(forward)
            else derivative(function)
        )
        body += [f"  its gradient: {gave}, of finite gradients and values", f"  {cause}"]
    elif pipeline:
        bad_at = next((i for i, fact in enumerate(node.outputs) if fact.finite is False), 0)
        frames = [one for one in (node.site, *node.callers, node.run_site) if one is not None]
        candidates = [*piped(evidence.source, frames, bad_at), *candidates]
        body = [f"  the data hold {gave}: {source.function} gave it from the input pipeline"]
    else:
        body.append(f"  {source.function} gave {gave}, {wording.of_what(source)}")
        body.append("  " + (reason(source) or wording.combined(birth, source)))
    if within:
        body.append("  it is in the step of the optimizer itself")
    body += wording.story(birth)
    what = f"{'gradient of ' if in_backward else ''}{function} is not finite"
    what = "the data are not finite as the pipeline gives them" if pipeline else what
    tries = (
        _SKIPPING if scaled else _OWN_EPS if within else _IN_DATA if pipeline else wording.ways(birth, source)
    )
    return evidence.finding(
        "nonfinite", what=what, candidates=candidates, confidence=0.9 if risk(source) == 2 else 0.7,
        failed=failure.site if failure is not None else node.site if within else None,
        when=f"{node.phase}, step {node.step}", body=[text for text in body if text.strip()],
        tries=tries, operands=source.inputs,
        evidence=(node.seq, *([forward.seq] if forward is not None else [])),
    )  # fmt: skip


def _of_handles(node: Node) -> bool:
    """Whether a node took no numbers: what it gave came from outside."""
    return bool(node.inputs) and {one.fact.dtype for one in node.inputs} <= _HANDLES


def _scaled_at(evidence: Evidence, node: Node) -> bool:
    """Whether a half-precision gradient overflowed that began with a loss multiplied where backward ran."""
    if node.function not in ("cast", *OVERFLOWING) and not node.function.endswith("_backward"):
        return False
    if node.outputs[0].dtype != "float16" or node.run_site is None:
        return False
    return any(
        one.function == "mul" and one.phase == "forward" and one.outputs[0].shape == ()
        and one.site is not None and (one.site.file, one.site.line) == (node.run_site.file, node.run_site.line)
        for one in evidence.run.step(node.step).nodes
        if one.outputs
    )  # fmt: skip


def _in_data(evidence: Evidence, birth: Birth, data: Operand, failure: Failure | None) -> Finding:
    """The value was not finite before any recorded node had touched it."""
    node = birth.node
    frames = [*reversed(node.callers), node.site] if node.site is not None else [*reversed(node.callers)]
    frames = [node.run_site] if data.origin == "feed" and node.run_site is not None else frames
    provenance = evidence.provenance
    if data.name or data.expression or data.producer is not None:
        site = provenance.root_site(data, frames)
    else:
        site = provenance.arguments.made_at(data, frames, node.function) or node.site
    lines = entered(evidence.source, site)
    if data.origin == "feed" and node.run_site is not None:
        declaration = provenance.site(data)
        value = feeds.fed_value(evidence.source, node.run_site, declaration, provenance.own_name(data)) if (
            declaration is not None) else None  # fmt: skip
        lines = followed(evidence.source, value, node.run_site) if value is not None else lines
        fed = site if site is not None and evidence.source.line(site) and site != node.run_site else None
        if fed is not None and fed != declaration:
            lines = [*lines, Candidate(fed, "input", "gives the value that is fed")]
        site = node.run_site
    what = f"{data.origin} {data.name}".strip()
    candidates = [*lines, *([Candidate(site, "input", f"the {what}", data.name)] if site is not None else [])]
    body = [f"  {what} {shape_words(data.fact.shape)}: {came_out(data.fact)} before any op took it"]
    tries = _IN_DATA
    if provenance.stored(data) is not None:
        tries = ["record from the start: the step that made the weights non-finite was not recorded"]
    return evidence.finding(
        "nonfinite", what=f"{what} is not finite to begin with", candidates=[*candidates, *made_by(node)],
        confidence=0.8, failed=failure.site if failure is not None else None,
        when=f"{node.phase}, step {node.step}", body=[*body, *wording.story(birth)], tries=tries,
        operands=(data,), evidence=(node.seq,),
    )  # fmt: skip


def _unseen(evidence: Evidence, node: Node) -> Node:
    """Return the node that was likelier the birth, where inputs of `node` were not looked at.

    Static graphs leave fused and inferred nodes unlooked at: among those between `node` and what is known
    to be finite, the riskiest, nearest one.
    """
    best, waiting, seen = node, [node], {node.seq}
    while waiting and len(seen) < 200:
        current = waiting.pop(0)
        for operand in current.inputs:
            before = evidence.provenance.node(operand.producer)
            if before is None or before.seq in seen or before.seq > current.seq or operand.fact.finite is True:
                continue
            seen.add(before.seq)
            fact = before.outputs[operand.output] if operand.output < len(before.outputs) else None
            if fact is None or fact.finite is not None or "float" not in fact.dtype:
                continue
            waiting.append(before)
            if _risk(evidence, before) > _risk(evidence, best):
                best = before
    return best


def _risk(evidence: Evidence, node: Node) -> int:
    """Return how readily a node makes a non-finite number; that of a square's derivative is its growth."""
    return min(1, risk(node)) if _whole_power(evidence.provenance.node(node.forward)) else risk(node)


def _whole_power(node: Node | None) -> bool:
    return node is not None and node.function == "pow" and only_grows(node)


def _came_in(evidence: Evidence, node: Node) -> tuple[Node, set[int]] | None:
    """Return the pipeline that NaN must have come in from, and which of its arrays, where nothing between it
    and `node` was looked at, and nothing there makes NaN of finite numbers.
    """
    bad = next((fact.stats for fact in node.outputs if fact.finite is False), None)
    if bad is None or not bad.nan or bad.pos_inf or bad.neg_inf or node.phase != "forward":
        return None
    waiting, seen, found = [node], {node.seq}, dict[int, set[int]]()
    while waiting and len(seen) < _CHAIN * 5:
        current = waiting.pop()
        if current.family not in _CARRYING and not only_grows(current) and current.function != "bias_add":
            return None
        for one in current.inputs:
            before = evidence.provenance.node(one.producer)
            if before is None or one.fact.finite is True or not inexact(one.fact):
                continue
            if before.inputs and {given.fact.dtype for given in before.inputs} <= _HANDLES:
                found.setdefault(before.seq, set()).add(one.output)
            elif before.seq not in seen:
                seen.add(before.seq)
                waiting.append(before)
    if len(found) != 1:
        return None
    seq, outputs = found.popitem()
    source = evidence.provenance.node(seq)
    return (source, outputs) if source is not None else None


def _in_pipeline(evidence: Evidence, birth: Birth, node: Node, source: Node, outputs: set[int]) -> Finding:
    """What a pipeline gave was not looked at, and must have been NaN."""
    frames = [one for one in (source.site, *source.callers, source.run_site) if one is not None]
    lines = [one for index in sorted(outputs) for one in piped(evidence.source, frames, index)]
    gave = came_out(next(fact for fact in node.outputs if fact.finite is False))
    return evidence.finding(
        "nonfinite", what="the data must hold NaN as the pipeline gives them",
        candidates=[*lines, *made_by(source), *made_by(node, f"NaN shows in this {node.function}")],
        confidence=0.7, failed=node.site, when=f"{node.phase}, step {node.step}",
        body=[f"  {node.function} gave {gave}; it makes no NaN of finite numbers, nor does what is before it",
              f"  what {source.function} gave was not looked at, nor what came of it up to there",
              *wording.story(birth)],
        tries=_IN_DATA, operands=node.inputs, evidence=(node.seq, source.seq),
    )  # fmt: skip


def _update(evidence: Evidence, node: Node) -> Node | None:
    """Return the node that wrote the weights which `node` only takes, and which are not finite since.

    Where weights were not looked at, they are suspected of a NaN if nothing else there can make one.
    """
    weights = _taken_weights(evidence, node)
    if weights is None:
        return None
    for before in evidence.before(node.seq, node.step):
        if any(i < len(before.inputs) and before.inputs[i].name in weights for i in before.mutates):
            return before if node.family == "copy" or before.step < node.step else None
    return None


def _taken_weights(evidence: Evidence, node: Node) -> set[str] | None:
    """Return the names of the weights that a NaN of `node` can have come from, None if from something else."""
    weights: set[str] = set()
    waiting, seen = [node], {node.seq}
    while waiting:
        current = waiting.pop()
        if current.family not in _CARRYING and current.function not in ("add", "bias_add"):
            return None
        for one in current.inputs:
            if one.origin in ("variable", "parameter") and one.fact.finite is not True:
                weights.add(one.name)
            elif one.origin == "node" and one.fact.finite is None:
                before = evidence.provenance.node(one.producer)
                if before is None or len(seen) > _CHAIN:
                    return None
                waiting += [before] if before.seq not in seen else []
                seen.add(before.seq)
    weights -= {""}
    if node.family == "copy":
        return weights if len(weights) == 1 else None
    return weights if weights and has_nan(node.outputs) else None
