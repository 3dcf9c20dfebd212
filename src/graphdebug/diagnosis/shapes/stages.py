"""Stages: how a pipeline made what a model was given: never batched, batched twice, one sample alone."""

from __future__ import annotations

import ast
from itertools import pairwise

from graphdebug.diagnosis.account import Account, call, trained_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Declaration, Failure, Operand, Shape, Site
from graphdebug.model.finding import Candidate

__all__ = ["explain", "inputs_of", "remade", "stages_of", "validated_on"]


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Account for a model whose input has a dimension too few or too many because of how it was batched."""
    wanted = _wanted(evidence)
    if wanted is None or (failure.family == "loss"):
        return None
    ways = (_exchanged, _batched, _alone)
    return next((found for way in ways if (found := way(evidence, failure, wanted)) is not None), None)


def _exchanged(evidence: Evidence, failure: Failure, wanted: Shape) -> Account | None:
    """An element of the dataset has what the model takes in the place of the labels, and they in its place."""
    stages = [one for one in stages_of(evidence) if one.site is not None]
    shapes = [one.shape for one in stages[-1].tensors.values()] if stages else []
    if len(shapes) != 2 or None in shapes or not trained_on(evidence, failure, "input"):
        return None
    first, second = ((one or ())[1:] for one in shapes)
    if first == wanted[1:] or second != wanted[1:] or None in wanted[1:]:
        return None
    made = [line for one in reversed(stages) for line in _gives(evidence, one)][:1]
    lines = [Candidate(one.site, "declaration", "makes the elements", one.name) for one in stages if one.site]
    body = [
        f"an element is ({shape_words(shapes[0])}, {shape_words(shapes[1])}): the model takes the first",
        f"it wants {shape_words(wanted)}, which is the second",
    ]
    return Account(
        [*made, *lines, *call(failure)], body, ["give (inputs, labels), in this order"], confidence=0.85
    )


def remade(evidence: Evidence, failure: Failure, guess: Operand, target: Operand) -> Account | None:
    """A stage of the dataset gave the labels another shape; before it, they would have fitted."""
    known = [one for one in stages_of(evidence) if one.site is not None and one.tensors]
    scores, came = (guess.fact.shape or ())[1:], (target.fact.shape or ())[1:]
    for before, stage in pairwise(known):
        was, now = (list(one.tensors.values())[-1].shape for one in (before, stage))
        if was is None or now is None or _batches(before, stage) or now[-len(came) :] != came:
            continue
        if was == now or scores not in (was, (*was, *scores[len(was) :])) or stage.site is None:
            continue
        lines = [*_gives(evidence, stage), Candidate(stage.site, "declaration", "calls it for each element")]
        body = [
            f"the labels were {shape_words(was)} a sample, and are {shape_words(now)} after {place(stage.site)}"
        ]
        named = [*held(lines[:1], "changed_size", "made_operand"), *held(lines[1:], "passes_on"),
                 *held(call(failure), "refused")]  # fmt: skip
        return Account(named, body, ["leave them as they were"], kind="target_mismatch", confidence=0.8)
    return None


def _batches(before: Declaration, stage: Declaration) -> bool:
    """Whether a stage batches: every part of an element has an axis more, in front."""
    shapes = [[one.shape or () for one in each.tensors.values()] for each in (before, stage)]
    return all(len(now) == len(was) + 1 and now[1:] == was for was, now in zip(*shapes, strict=False))


def _gives(evidence: Evidence, stage: Declaration) -> list[Candidate]:
    """Return the last line that the function of a stage returns or yields on."""
    site, tree = stage.site, evidence.source.tree(stage.site.file) if stage.site is not None else None
    names = set(evidence.source.names(site)) if site is not None else set()
    found = [
        part.lineno for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.FunctionDef) and node.name in names
        for part in ast.walk(node) if isinstance(part, ast.Return | ast.Yield) and part.value is not None
    ]  # fmt: skip
    return [Candidate(Site(site.file, max(found)), "origin", "gives the elements", stage.name)] if (
        found and site is not None) else []  # fmt: skip


def _batched(evidence: Evidence, failure: Failure, wanted: Shape) -> Account | None:
    stages = [one for one in stages_of(evidence) if one.site is not None and one.tensors]
    fact = next(iter(stages[-1].tensors.values())) if stages else None
    if fact is None or fact.shape is None or not trained_on(evidence, failure, "input"):
        return None
    batches = [one for one in stages if "Batch" in str(one.attributes["stage"])]
    ran = (
        [Candidate(failure.run_site, "caller", "gives it to the model")] if failure.run_site is not None else []
    )
    said = f"an element of the dataset ({place(stages[-1].site)}) is {shape_words(fact.shape)}"
    if len(batches) > 1 and len(fact.shape) == len(wanted) + 1 and batches[-1].site is not None:
        lines = [Candidate(one.site, "declaration", "batches", one.name) for one in batches[::-1] if one.site]
        body = [f"{said}: it was batched at {place(batches[0].site)} and again at {place(batches[-1].site)}"]
        return Account([*lines, *ran], body, ["take one batch(...) out"], confidence=0.85)
    if not batches and len(fact.shape) == len(wanted) - 1:
        lines = [Candidate(one.site, "declaration", "makes single samples", one.name)
                 for one in stages[::-1] if one.site is not None]  # fmt: skip
        body = [f"{said}, one sample: it was never batched; the model takes {shape_words(wanted)}"]
        return Account([*lines, *ran], body, ["batch it: ds.batch(32)"], confidence=0.85)
    return None


def _alone(evidence: Evidence, failure: Failure, wanted: Shape) -> Account | None:
    """One sample was given where a batch is taken; a last dimension of 1 may have been added to it."""
    data = next((one.fact.shape for one in failure.operands if one.role == "input"), None)
    if data is None or None in wanted[1:] or data not in (wanted[1:], (*wanted[1:], 1)):
        return None
    ran = failure.run_site or failure.site
    given = [*trained_on(evidence, failure, "input")]
    given += [Candidate(ran, "caller", "gives it to the model")] if ran is not None else []
    if not given:
        return None
    sample = shape_words(wanted[1:])
    body = [f"{sample} is one sample; the model takes a batch of them, {shape_words(wanted)}"]
    return Account(
        [*given, *call(failure)], body, [f"give it a batch of one: x[None], 1x{sample}"], confidence=0.85
    )


def _wanted(evidence: Evidence) -> Shape | None:
    """Return what the only input of the model was declared as."""
    found = set()
    for one in inputs_of(evidence):
        whole, shape = one.attributes.get("batch_shape"), one.attributes.get("shape")
        if isinstance(whole, list):
            found.add(tuple(whole))
        elif isinstance(shape, list):
            found.add((None, *shape))
    return next(iter(found)) if len(found) == 1 else None


def validated_on(evidence: Evidence, data: Operand, failure: Failure) -> list[Candidate]:
    """Return the line of the validation data, where `data` has their shape and the training data another."""
    shapes = {
        one.name: tuple(one.tensors["value"].shape or ())[1:]
        for one in evidence.provenance.declarations() if one.type == "Data" and "value" in one.tensors
    }  # fmt: skip
    came = (data.fact.shape or ())[1:]
    if shapes.get("data:validation_data[0]") != came or shapes.get("data:x") == came:
        return []
    made = trained_on(evidence, failure, "validation_data")
    tree = evidence.source.tree(made[0].site.file) if made else None
    pairs = [
        node.elts[0] for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Tuple) and node.lineno == made[0].site.line and node.elts
    ]  # fmt: skip
    for one in pairs:
        site = evidence.source.assignment(one.id, made[0].site) if isinstance(one, ast.Name) else None
        if site is not None:
            return [Candidate(site, "input", "makes the validation data")]
    return [Candidate(made[0].site, "input", "makes the validation data")] if made else []


def inputs_of(evidence: Evidence) -> list[Declaration]:
    """Return the declarations of models' inputs."""
    return [one for one in evidence.provenance.declarations() if one.type == "InputLayer"]


def stages_of(evidence: Evidence) -> list[Declaration]:
    """Return the stages of the dataset that was made last, the first one first."""
    made = [one for one in evidence.provenance.declarations() if one.type == "Dataset"]
    by_name = {one.name: one for one in made}
    chain: list[Declaration] = []
    one = made[-1] if made else None
    while one is not None and one not in chain:
        chain.insert(0, one)
        sources = one.attributes.get("sources") or [""]
        one = by_name.get(sources[0])
    return chain
