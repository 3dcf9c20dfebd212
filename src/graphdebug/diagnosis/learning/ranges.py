"""Ranges: what the numbers of the data themselves say: inputs that are all one number, labels out of reach."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.account import made_by, told_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS
from graphdebug.diagnosis.trails import Place, trail
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Declaration, Node, Operand, Site, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["blank", "unreachable"]

_LAYERS = ("linear", "matmul", "conv")
_REACH = {"relu": (0.0, None), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softmax": (0.0, 1.0)}
"""Least and largest number that an activation gives."""
_COMPARED = ("sub", "squared_difference", "mse_loss", "l1_loss")
_KEEPING = ("reshape", "cast", "copy")
_HANDLES = frozenset({"resource", "variant"})
"""Types of what stands for data that are still to be made."""
_FILLED = re.compile(r"\b(?:ones|zeros|full|empty|constant|repeat|tile)(?:_like)?\(")
"""Calls that make data of one number on purpose."""
_SEARCHED = 60
"""Steps at the start of a run among which a step of training is looked for."""
_SLACK = 0.05
"""How far beyond the reach labels may lie, as smoothing and noise bring them."""


def blank(evidence: Evidence) -> Iterator[Finding]:
    """Yield the finding for a network whose input is one and the same number everywhere, in every step."""
    told = [one for one in _data(evidence, ("feed", "input")) if one.attributes.get("constant") is not None]
    nodes = _training(evidence) if told else []
    names = {str(one.attributes.get("feed", "")) for one in told}
    roots = [_root(evidence, node) for node in nodes if node.family in _LAYERS and node.phase == "forward"]
    data = [one for one in roots if one is not None]
    fed = [one for one in data if one.origin == "feed"]
    whole = {one.name for one in fed} <= names if fed else bool(told) and told[0].attributes.get("parts") == 1
    if not data or not whole:
        return
    one = next((it for it in told if it.attributes.get("feed") in {x.name for x in fed}), told[0])
    node = next(it for it in nodes if it.family in _LAYERS and it.phase == "forward")
    lines = _made(evidence, one, fed[0] if fed else None, node)
    fact = one.tensors.get("value")
    shape = shape_words(fact.shape) if fact is not None else "its input"
    value = float(one.attributes["constant"])
    if lines:
        yield evidence.finding(
            "blank_data", what=f"all that the network is given is {value:g}",
            candidates=lines, confidence=0.85, when="nothing failed", evidence=(one.seq,), failed=node.run_site,
            body=[f"  {shape}: each element is {value:g}, in all of the first steps",
                  "  no sample differs from another: nothing can be learnt of it"],
            tries=["divide as real numbers: x / 255.0" if value == 0 else "look where the data are made",
                   "print the data before they are fed"],
        )  # fmt: skip


def unreachable(evidence: Evidence) -> Iterator[Finding]:
    """Yield the finding for labels that the activation of the last layer can never give."""
    told = [one for one in _data(evidence, ("feed", "labels")) if _range(one) is not None]
    for node in _training(evidence) if told else ():
        if node.function not in _COMPARED or node.phase != "forward" or len(node.inputs) < 2:
            continue
        for guess, target in (node.inputs[:2], node.inputs[1::-1]):
            declared, made = _declared(evidence, told, target), _activation(evidence, guess)
            span = _range(declared) if declared is not None else None
            if made is None or span is None or declared is None:
                continue
            least, most = _REACH[made.function]
            room = _SLACK * (span[1] - span[0])
            low = span[0] < (least or 0.0) - room and not _marks(span)
            if low or (most is not None and span[1] > most + room):
                yield _out_of_reach(evidence, made, node, span)
                return


def _marks(span: tuple[float, float]) -> bool:
    """Whether a lone -1 marks what has no label."""
    return span[0] == -1.0 and span[1] > 1.0


def _out_of_reach(evidence: Evidence, made: Node, node: Node, span: tuple[float, float]) -> Finding:
    least, most = _REACH[made.function]
    upper = "any number above" if most is None else f"{most:g}"
    return evidence.finding(
        "out_of_reach", what=f"{made.function} gives the prediction, and labels lie out of its reach",
        candidates=[*told_by(evidence, made, f"the {made.function}"), *made_by(node, "compares them")],
        confidence=0.8, failed=node.site, when=f"{node.phase}, step {node.step}; nothing failed",
        body=[f"  the labels go from {span[0]:.4g} to {span[1]:.4g}",
              f"  {made.function} gives {least:g} to {upper}"],
        tries=["leave the last layer without activation", "scale the labels into its reach"],
        operands=node.inputs, evidence=(made.seq, node.seq),
    )  # fmt: skip


def _data(evidence: Evidence, roles: Sequence[str]) -> list[Declaration]:
    found = (one for one in evidence.provenance.declarations() if one.type == "Data")
    return [one for one in found if one.attributes.get("role") in roles]


def _range(data: Declaration) -> tuple[float, float] | None:
    low, high = data.attributes.get("low"), data.attributes.get("high")
    return (float(low), float(high)) if low is not None and high is not None else None


def _training(evidence: Evidence) -> Sequence[Node]:
    """Return the nodes of the third step that trains; none where there are fewer."""
    found = 0
    for step in evidence.steps[:_SEARCHED]:
        nodes = evidence.run.step(step).nodes
        found += any(one.phase in ("backward", "optimizer") for one in nodes)
        if found == LEAST_STEPS:
            return nodes
    return ()


def _root(evidence: Evidence, node: Node) -> Operand | None:
    """Return the data that a layer's input began as; None where it is computed of weights."""
    stored = [evidence.provenance.stored(one) is not None for one in node.inputs]
    if True not in stored or all(stored):
        return None
    root, _ = evidence.provenance.way(node.inputs[stored.index(False)])
    return root if _enters(evidence, root, 0) and len(root.fact.shape or ()) > 1 else None


def _enters(evidence: Evidence, root: Operand, place: int) -> bool:
    """Whether a tensor is given from outside: fed, an argument, or at `place` of what a pipeline gives."""
    made = evidence.provenance.node(root.producer)
    piped = made is not None and bool(made.inputs) and {one.fact.dtype for one in made.inputs} <= _HANDLES
    return root.origin in ("feed", "argument") or (piped and root.output == place)


def _declared(evidence: Evidence, told: Sequence[Declaration], target: Operand) -> Declaration | None:
    """Return the data that labels are, where nothing but their shape and type was changed on the way."""
    root, links = evidence.provenance.way(target)
    if any(node.family not in _KEEPING for node, _ in links) or not _enters(evidence, root, 1):
        return None
    if root.origin == "feed":
        return next((one for one in told if one.attributes.get("feed") == root.name), None)
    labels = [one for one in told if one.attributes.get("role") == "labels"]
    return labels[0] if len(labels) == 1 else None


def _activation(evidence: Evidence, guess: Operand) -> Node | None:
    """Return the activation that a prediction comes straight from, behind a layer with weights."""
    operand = guess
    for _ in range(4):
        node = evidence.provenance.node(operand.producer)
        if node is None or not node.inputs:
            return None
        if node.function in _REACH:
            links = evidence.provenance.way(node.inputs[0])[1]
            near = [link.family for link, _ in links[-3:]]
            return node if any(one in _LAYERS for one in near) else None
        if node.family not in _KEEPING:
            return None
        operand = node.inputs[0]
    return None


def _made(evidence: Evidence, data: Declaration, fed: Operand | None, node: Node) -> list[Candidate]:
    """Return the lines that made the data, the first one first."""
    source, provenance = evidence.source, evidence.provenance
    site: Site | None = data.site
    value: ast.expr | Place | None = None
    if fed is not None and node.run_site is not None:
        made = provenance.site(fed)
        site, name = node.run_site, provenance.own_name(fed)
        value = feeds.fed_value(source, site, made, name) if made is not None else None
    elif site is not None:
        value = provenance.arguments.given(site, Operand(TensorFact(None, ""), role="input"))
    if site is None:
        return []
    lines = [one for one, _ in trail(source, value, site)[::-1]] if value is not None else []
    if not lines or _FILLED.search(source.line(lines[0])):  # it was meant to be so
        return []
    found = [Candidate(one, "input", "makes the data", data.name) for one in lines]
    return [*found, Candidate(site, "caller", "gives it to the network", data.name)]
