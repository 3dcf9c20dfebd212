"""Ungraphed: a loss without a way to any parameter: the line that cut the graph, or kept it from being made."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from graphdebug.diagnosis.account import Account, call, data_entry, loss_made, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused import absent, switches, unrecorded
from graphdebug.diagnosis.refused.crossings import in_loop
from graphdebug.diagnosis.refused.cuts import KEEP, cut
from graphdebug.diagnosis.refused.told import told
from graphdebug.diagnosis.shapes.geometry import Link
from graphdebug.diagnosis.trails import trail
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Node, Operand, Site, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["LEAVES", "account_of", "explain"]

LEAVES = re.compile(r"\b(?:np|numpy|math)\.|\.numpy\(|\.item\(|\b(?:float|int)\(")
"""What computes in plain Python."""
_SOURCES = ("fill", "random", "placeholder", "assign")


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a backward that could not begin."""
    if failure.detail.get("absent"):
        missing = absent.explain(evidence, failure)
        name = failure.operands[0].expression or failure.operands[0].name or "a tensor"
        return told(evidence, failure, "no_gradient", f"{name}.grad is None", missing)
    if "Inference" in failure.message:
        return _inference(evidence, failure)
    many = _is_many(failure)
    account = _no_scalar(evidence, failure) if many else account_of(evidence, failure)
    what = "backward began at a tensor that is no scalar" if many else "backward has no way to any parameter"
    account.confidence = 0.85 if account.candidates else 0.7
    return told(evidence, failure, "no_gradient", what, account)


def _inference(evidence: Evidence, failure: Failure) -> Finding:
    """An operand was made where tensors can never have a history."""
    account = Account([], ["inference_mode made it, for good"], ["no_grad() in place of inference_mode()"])
    for operand in failure.operands:
        ways = [node for node, _ in reversed(evidence.provenance.way(operand)[1])]
        for node in ways:
            frames = [one for one in (node.site, *node.callers) if one is not None]
            block = switches.block_without(evidence.source, frames)
            if block is not None and not account.candidates:
                made = made_by(node, f"the {node.function} made it there")
                lines = [Candidate(block, "declaration", "what is made inside never has a history"), *made]
                tries = ["no_grad() in its place", "clone() it outside before it is used"]
                account = Account(lines, ["backward would need it, and it has no version"], tries)
    what = "a tensor made without a graph is used with one"
    return told(evidence, failure, "no_gradient", what, account)


def _no_scalar(evidence: Evidence, failure: Failure) -> Account:
    """Backward, or a transform that takes a gradient, was given a loss of many elements."""
    loss = failure.operands[0]
    body = [f"backward starts from a scalar; this tensor is {shape_words(loss.fact.shape)}"]
    tries = ["take its mean or sum first", "give backward the gradient of each element"]
    node = evidence.provenance.node(loss.producer)
    unreduced = node is not None and node.attributes.get("reduction") == "none"
    made = loss_made(evidence, node.site) if node is not None and unreduced else []
    if unreduced:
        body.append("the loss was made with reduction='none': it has one value for each sample")
        tries = ["leave reduction at 'mean'", *tries]
    by = made_by(node, f"the {node.function} gives {shape_words(loss.fact.shape)}") if node is not None else []
    if failure.detail.get("transform"):
        return Account([*made, *by], body, tries)
    return Account([*made, *call(failure, "the call of backward"), *by], body, tries)


def account_of(evidence: Evidence, failure: Failure) -> Account:
    """Walk back from the loss to the node where the graph was cut."""
    before_tape = failure.detail.get("before_tape")
    if isinstance(before_tape, dict):
        body = ["it was computed before the tape was opened: the tape does not know how"]
        return Account([Candidate(Site(**before_tape), "origin", "is not on the tape")], body, KEEP)
    loss = next(iter(failure.operands), None)
    if loss is None:
        return Account(_left_in_python(evidence, failure), [], KEEP)
    root, links = _way_through_indices(evidence, loss)
    swapped = next((n for n, _ in reversed(links) if n.family == "loss" and _swapped(evidence, n)), None)
    if swapped is not None:
        body = ["what was computed from the weights came in as its labels; labels get no gradient"]
        return Account(made_by(swapped, "labels and logits are swapped"), body, ["swap the two arguments"])
    known = cut(evidence, loss, links) or unrecorded.state(evidence, failure, links)
    if known is not None:
        return known
    learns = [node for node, _ in links if _stores(evidence, node)]
    unseen = _off_tape(failure, [node for node, _ in links], learns)
    if unseen is not None:
        return unseen
    gone = None if learns else _taken_out(evidence, failure, links)
    if gone is not None:
        body = [f"what {gone.function} gave goes on without its history (numpy(), item(), a new tensor)"]
        return Account(_left_at(evidence, links, gone), body, KEEP)
    left = _left_in_python(evidence, failure) if root.origin == "constant" and not links else []
    if left:
        body = ["what was computed there is a plain number: it has no history"]
        return Account(left, body, KEEP)
    node_of_root = evidence.provenance.node(root.producer)
    if node_of_root is not None and node_of_root.family in ("copy", "fill"):
        return Account(made_by(node_of_root, "makes a new tensor without history"), [], KEEP)
    ungraphed = next(iter(unrecorded.learned(evidence, loss)), None)
    if ungraphed is not None:
        body = ["it was computed from weights, but no graph was recorded: no_grad, or they need no gradient"]
        return Account([*made_by(ungraphed, "computed without a graph"), *_callers(ungraphed)], body, KEEP)
    taken = [one for node, _ in links[:1] for one in made_by(node, "computed from data alone")]
    return Account([*taken, *(data_entry(evidence, root, failure)[:1] if root.name else [])], [], KEEP)


def _left_in_python(evidence: Evidence, failure: Failure) -> list[Candidate]:
    """Return the line that computed the target of a gradient in plain Python, as the source has it."""
    asked = evidence.source.calls("gradient", failure.site) if failure.site is not None else []
    first, given = Operand(TensorFact(None, ""), role="a"), evidence.provenance.arguments.given
    target = given(asked[-1], first, "gradient") if asked else None
    lines = [one for one, _ in trail(evidence.source, target, asked[-1])] if target is not None else []
    left = [one for one in lines if LEAVES.search(evidence.source.line(one))]
    return [Candidate(one, "origin", "leaves the graph") for one in [*left[-1:], *lines[:1]]]


def _off_tape(failure: Failure, way: Sequence[Node], learns: Sequence[Node]) -> Account | None:
    """What was computed after the tape was closed, or with weights before it was opened, is not on it."""
    began, until = (failure.attributes.get(key) for key in ("recorded_after", "recorded_until"))
    late = [node for node in way if isinstance(until, int) and node.seq >= until]
    early = [node for node in learns if isinstance(began, int) and node.seq < began]
    if not late and not early:
        return None
    node, when_made = (
        (late[0], "after the tape was closed") if late else (early[-1], "before the tape was opened")
    )
    why = f"the {node.function} is not on the tape"
    calls = in_loop(failure, [one for one in (node.site, *node.callers) if one is not None])
    lines = [*(Candidate(one, "caller", why) for one in calls), *made_by(node, why)]
    return Account(lines, [f"it was computed {when_made}: the tape does not know how"], KEEP)


def _left_at(evidence: Evidence, links: Sequence[Link], gone: Node) -> list[Candidate]:
    """Return where what `gone` gave left the graph, and where it came back as a plain tensor.

    Where the line it came back on computes with a plain number that the line of `gone` gave, that one is first.
    """
    left, back = made_by(gone, f"the {gone.function} leaves the graph"), _came_back(evidence, links, gone)
    source, place = evidence.source, back[0].site if back else None
    names = source.names(place) if place is not None else ()
    made = [source.assignment(name, place) for name in names if place is not None]
    own = gone.site is not None and any(one is not None and one.line == gone.site.line for one in made)
    own = own and not (LEAVES.search(source.line(place)) and not LEAVES.search(source.line(gone.site)))
    if place is not None and not LEAVES.search(source.line(place)):  # it takes what another line computed
        lines = (line for name in names for line, _ in trail(source, ast.Name(name), place))
        python = next((line for line in lines if LEAVES.search(source.line(line))), None)
        if python is not None:
            return [Candidate(python, "origin", "computes in plain Python"), *back, *left]
    return [*left, *back] if own else [*back, *left]


def _way_through_indices(evidence: Evidence, loss: Operand) -> tuple[Operand, list[Link]]:
    """Return the way of `loss`, followed also where what was computed became a mere index (one-hot, gather)."""
    root, links = evidence.provenance.way(loss)
    for _ in range(4):
        made = evidence.provenance.node(root.producer)
        through = next(
            (i for i, one in enumerate(made.inputs) if one.role == "index" and one.producer is not None)
            if made is not None
            else iter(()),
            None,
        )
        if made is None or through is None:
            break
        root, before = evidence.provenance.way(made.inputs[through])
        links = [*before, (made, through), *links]
    return root, links


def _came_back(evidence: Evidence, links: Sequence[Link], gone: Node) -> list[Candidate]:
    """Return the line that gave the plain tensor which has the values of `gone`."""
    for node, _ in links:
        frames = [*reversed(node.callers), *([node.site] if node.site is not None else [])]
        for one in node.inputs:
            if one.producer is None and one.fact.shape == gone.outputs[0].shape:
                site = evidence.provenance.arguments.made_at(one, frames, node.function)
                if site is not None:
                    return [Candidate(site, "origin", "goes on as a plain tensor", one.name)]
    return []


def _stores(evidence: Evidence, node: Node) -> bool:
    """Whether a weight goes into `node`."""
    return any(evidence.provenance.stored(one) is not None for one in node.inputs)


def _taken_out(evidence: Evidence, failure: Failure, links: Sequence[Link]) -> Node | None:
    """Return the node whose values came back on the way as a plain tensor: computed from weights, taken by
    nothing, and alike in shape and dtype.
    """
    plain = {
        (one.fact.shape, one.fact.dtype)
        for node, _ in links
        for one in node.inputs
        if one.producer is None and one.fact.shape and evidence.provenance.stored(one) is None
    }
    taken: set[int | None] = set()
    for node in evidence.before(failure.seq, failure.step):
        fits = bool(node.outputs) and (node.outputs[0].shape, node.outputs[0].dtype) in plain
        if fits and node.phase == "forward" and node.seq not in taken and node.family not in _SOURCES:
            way = [*(one for one, _ in evidence.provenance.way(node.inputs[0])[1]), node] if node.inputs else []
            if any(_stores(evidence, one) for one in way):
                return node
        taken.update(one.producer for one in node.inputs)
    return None


def _swapped(evidence: Evidence, loss: Node) -> bool:
    """Whether the labels of `loss` were computed with a weight, and what stands for its logits with none."""
    learns = {one.role: _computed_of_weights(evidence, one) for one in loss.inputs}
    return learns.pop("labels", False) and not any(learns.values())


def _computed_of_weights(evidence: Evidence, operand: Operand) -> bool:
    links = evidence.provenance.way(operand)[1]
    return any(evidence.provenance.stored(one) is not None for node, _ in links for one in node.inputs)


def _is_many(failure: Failure) -> bool:
    """Whether what backward began at has more elements than one."""
    shape = failure.operands[0].fact.shape if failure.operands else None
    return shape is not None and any(size != 1 for size in shape)


def _callers(node: Node) -> list[Candidate]:
    return [Candidate(one, "caller", "a call around it") for one in node.callers[:2]]
