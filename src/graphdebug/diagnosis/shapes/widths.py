"""Widths: a layer or product given another width than its weight has, and who declared which."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from math import prod

import msgspec

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.account import Account, call, data_entry, made_by, sized_by, trained_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes import stages
from graphdebug.diagnosis.shapes.declared import declared_lines, layer_name, taken, unit, weight_of
from graphdebug.diagnosis.shapes.geometry import Link, Sizes, concrete
from graphdebug.diagnosis.shapes.images import other_size
from graphdebug.diagnosis.shapes.layouts import moved_channels, no_channel
from graphdebug.diagnosis.shapes.makers import joined_widths, maker_of
from graphdebug.diagnosis.shapes.meetings import Meeting, meeting_of
from graphdebug.diagnosis.trails import steps
from graphdebug.diagnosis.words import arithmetic, node_name, shape_words
from graphdebug.model.event import Failure, Operand, Site
from graphdebug.model.finding import Candidate

__all__ = ["explain"]


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Account for a linear, conv, norm or matrix product whose weight does not take what it was given."""
    meeting = meeting_of(evidence, failure)
    if meeting is None:
        return None
    for account in (
        _unbatched,
        _unflattened,
        moved_channels,
        no_channel,
        _joined,
        _swapped,
        _dropped,
        _turned,
        _of_parts,
        other_size,
        _disagreement,
    ):
        found = account(evidence, failure, meeting)
        if found is not None:
            return found
    return None


def _unbatched(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """All elements together are one sample: the batch dimension is missing."""
    shape = concrete(met.data.fact.shape)
    root, links = evidence.provenance.way(met.data)
    if failure.family not in ("linear", "matmul") or shape is None or len(shape) < 2 or not links:
        return None
    if prod(shape) != met.takes or shape[0] == 1:
        return None
    taken = next((i for i, link in reversed(list(enumerate(links))) if _takes_one(link)), None)
    if taken is None:
        entry = data_entry(evidence, root, failure, links)
    else:  # one sample was taken out of a batch
        entry = made_by(links[taken][0], "takes one sample out of its batch")
        root = msgspec.structs.replace(root, fact=links[taken][0].outputs[0])
        entry = held(entry, "other_data") if evidence.good_layer(failure) is not None else entry
    given = shape_words(root.fact.shape)
    other = ["other_data"] if taken is not None and evidence.worked(failure) else []
    return Account(
        [
            *held(entry, "lacks_step", *other),
            *held(call(failure), "refused"),
            *held(declared_lines(evidence, met, failure), "began"),
        ],
        [f"{layer_name(evidence, failure, met)} takes {met.takes}; all of {shape_words(shape)} is one sample"],
        [f"give {given} a batch dimension: 1x{given}"], confidence=0.8,
    )  # fmt: skip


def _takes_one(link: Link) -> bool:
    """Whether a node outside all layers took one element of the first axis."""
    node, through = link
    before, after = node.inputs[through].fact.shape, node.outputs[0].shape if node.outputs else None
    return node.family == "index" and not node.module and bool(before) and after == (before or ())[1:]


def _unflattened(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """The data has all the elements a sample should have, but was not flattened."""
    shape = concrete(met.data.fact.shape)
    if failure.family != "linear" and failure.family != "matmul":
        return None
    if shape is None or len(shape) < 3 or prod(shape[1:]) != met.takes:
        return None
    called, own = call(failure, "it gets more than two dimensions"), declared_lines(evidence, met, failure)
    listed = failure.module.rpartition(".")[2].isdigit()
    if listed:  # an element of a sequence: what is missing stands there
        candidates = [*held(own[-1:], "lacks_step"), *held(called, "refused"), *held(own[:-1], "began")]
    else:
        handing = held(_handing(evidence, failure), "lacks_step", "beside")
        candidates = [*held(called, "lacks_step"), *handing, *held(own, "declares_size")]
    body = f"{layer_name(evidence, failure, met)} takes {arithmetic(met.takes, shape[1:])} features; "
    flat = shape_words((shape[0], met.takes))
    return Account(
        candidates,
        [body + f"each sample has as many, but as {shape_words(shape[1:])}"],
        [f"flatten each sample before this line: {shape_words(shape)} -> {flat}"],
        confidence=0.9,
    )


def _handing(evidence: Evidence, failure: Failure) -> list[Candidate]:
    """Return the call that hands the data to the helper around the failing line, as it is."""
    outer = failure.frames[-2] if len(failure.frames) > 1 else None
    if outer is None or failure.site is None or evidence.source.function_line(failure.site) is None:
        return []
    return [Candidate(outer, "caller", "hands it on as it is")]


def _joined(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """The width is that of what was joined before, had it been joined along this axis."""
    root, links = evidence.provenance.way(met.data)
    first = evidence.provenance.node(root.producer)
    nodes = [*(node for node, _ in reversed(links)), *([first] if first is not None else [])]
    cat = next((node for node in nodes if node.family == "cat"), None)
    shapes = [one.fact.shape or () for one in cat.inputs] if cat is not None else []
    sizes = [shape[met.axis] for shape in shapes if len(shape) > met.axis]
    axis = cat.attributes.get("axis") if cat is not None else None
    if cat is None or not isinstance(axis, int) or len(sizes) < 2 or None in sizes or cat.function == "stack":
        return None
    if axis % len(shapes[0]) == met.axis or sum(size or 0 for size in sizes) != met.takes:
        return None
    body = [f"joined along axis {axis}, it has {met.given}; along axis {met.axis} it would have {met.takes}"]
    lines = [*held(made_by(cat, f"joins along axis {axis}"), "repairs"), *held(call(failure), "refused"),
             *held(declared_lines(evidence, met, failure), "declares_size")]  # fmt: skip
    return Account(lines, body, [f"join along axis {met.axis}"])


def _dropped(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """An op took the axis away that has the wanted width, and left another one in its place."""
    for node, through in reversed(evidence.provenance.way(met.data)[1]):
        before, after = node.inputs[through].fact.shape or (), node.outputs[0].shape if node.outputs else None
        if after is None or weight_of(node) is not None:
            return None
        if node.family not in ("reduce", "index") or len(before) != len(after) + 1 or met.takes in after[1:]:
            continue
        rest = [before[:axis] + before[axis + 1 :] for axis in range(1, len(before))]
        if met.takes < 2 or met.takes not in before[1:] or not any(one[-1:] == (met.takes,) for one in rest):
            continue
        went = f"{node_name(node)} {shape_words(before)} -> {shape_words(after)}"
        body = [
            f"{layer_name(evidence, failure, met)} takes {met.takes}; {went} took the axis of {met.takes} away"
        ]
        lines = [
            *held(made_by(node, f"takes the axis of {met.takes} away"), "repairs"),
            *held(declared_lines(evidence, met, failure), "declares_size", "agreed"),
            *held(call(failure), "refused"),
        ]
        return Account(lines, body, ["take another axis away, so that this one stays"], confidence=0.8)
    return None


def _swapped(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """The width is there on the other axis of a matrix: the operand is transposed."""
    shape = met.data.fact.shape or ()
    if len(shape) != 2 or failure.family not in ("linear", "matmul") or shape[1 - met.axis] != met.takes:
        return None
    declared = declared_lines(evidence, met, failure)
    if declared and evidence.provenance.declaration(met.weight) is not None and failure.family == "linear":
        why = f"declared for {met.takes} features, which is the batch size"
        own = evidence.provenance.declaration(met.weight)
        passed = len(declared) > 1 and own is not None and declared[0].site != own.site
        instance = own.callers[:1] if own is not None and passed else ()
        made = [Candidate(one, "declaration", "is given the batch size", met.weight.name) for one in instance]
        lines = [*made, *declared[1:]] if made else declared[:1]
        lines = [*lines[: len(made)], *(msgspec.structs.replace(one, why=why) for one in lines[len(made) :])]
        layer = layer_name(evidence, failure, met)
        return Account(
            [*held(lines, "declares_size", "odd_one"), *held(call(failure), "refused")],
            [f"{layer} takes {met.takes} = the number of rows; a row has {met.given}"],
            [f"declare it for {met.given} features"], confidence=0.85,
        )  # fmt: skip
    _, links = evidence.provenance.way(met.data)
    turns = [
        Candidate(n.site, "origin", f"the {n.function}") for n, _ in links if n.family == "permute" and n.site
    ]
    return Account(
        [
            *held(turns[-1:], "moved_axis"),
            *held(call(failure, "the product"), "refused", "made_operand"),
            *held(declared, "made_operand"),
        ],
        [f"the product needs {met.takes} columns; {shape_words(shape)} has them as rows"],
        ["transpose one operand, or swap the two"], confidence=0.75,
    )  # fmt: skip


def _turned(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """The width is there on another axis of what was transposed last, which put it elsewhere."""
    for node, through in reversed(evidence.provenance.way(met.data)[1]):
        before = node.inputs[through].fact.shape or ()
        if weight_of(node) is not None or failure.family not in ("linear", "matmul"):
            return None
        if node.family == "permute" and len(before) > 2 and before[-1] != met.takes and met.takes in before[1:]:
            after = node.outputs[0].shape or ()
            if after[-1:] == (met.takes,):
                return None
            body = [f"{shape_words(before)} has the {met.takes}; the {node.function} leaves {met.given} behind"]
            lines = [*held(made_by(node, f"the {node.function} of {shape_words(before)}"), "moved_axis"),
                     *held(declared_lines(evidence, met, failure), "declares_size"),
                     *held(call(failure), "refused")]  # fmt: skip
            return Account(lines, body, [f"put the axis of {met.takes} last"], confidence=0.75)
    return None


def _of_parts(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """What the layer was given was joined of parts, and another width of some would fit."""
    parts = joined_widths(evidence, met)
    if not parts:
        return None
    name = layer_name(evidence, failure, met)
    body = [f"{name} takes {met.takes} {unit(failure)}; it was given {met.given}, joined"]
    lines = [*held(declared_lines(evidence, met, failure, f"declared for {met.takes}"), "declares_size"),
             *held(parts, "made_operand"), *held(call(failure), "refused")]  # fmt: skip
    return Account(lines, body, [f"declare it for {met.given}"], confidence=0.75)


def _disagreement(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """Two declarations disagree: the layer's, and the one that made what it was given."""
    root, links = evidence.provenance.way(met.data)
    before = next((node for node, _ in reversed(links) if weight_of(node) is not None), None)
    own = declared_lines(evidence, met, failure, f"declared for {met.takes}")
    ranks = {len(one.fact.shape or ()) for one in (met.data, met.weight)}
    if failure.family == "matmul" and len(ranks) > 1 and evidence.provenance.stored(met.data) is not None:
        return _two_variables(evidence, failure, met, own)
    body = [f"{layer_name(evidence, failure, met)} takes {met.takes} {unit(failure)}; it was given {met.given}"]
    tries = [f"declare it for {met.given}"]
    if before is not None:
        weight = weight_of(before)
        site = _told_from(evidence, weight, met.weight) if weight is not None else None
        other = [Candidate(site, "declaration", f"makes {met.given}", before.module)] if site else []
        declared = evidence.provenance.declaration(weight) if weight is not None else None
        if site in [one.site for one in own]:  # one line of a helper made both: what told it their sizes
            other = sized_by(evidence, declared, met.given, f"makes {met.given}")[:1]
        body[0] += f", made by {before.module or before.function}"
        tries.append(f"make {before.module or before.function} give {met.takes}")
        elsewhere = _on_another_axis(met)
        agreed = bool(own and other) and not elsewhere and _supports(evidence, failure, met)
        lines = [*held(own, "declares_size", *(["agreed"] if agreed else [])),
                 *held(other, "began" if elsewhere else "odd_one" if agreed else "made_operand",
                       *(["needs_more"] if before.family == "norm" else [])),
                 *held(call(failure, "the call"), "refused", "passes_on")]  # fmt: skip
        if elsewhere:
            body.append(f"{shape_words(met.data.fact.shape)} has {met.takes} on another axis")
        return Account(lines, body, tries[::-1] if agreed else tries, confidence=0.75)
    maker = maker_of(evidence, met.data, met.given, failure)
    if maker:
        lines = [*held(own, "declares_size"), *held(maker, "made_operand"),
                 *held(call(failure, "the call"), "refused", "passes_on")]  # fmt: skip
        return Account(lines, body, tries, confidence=0.75)
    other = stages.validated_on(evidence, root, failure)
    given = other or trained_on(evidence, failure, "input") or data_entry(evidence, root, failure, links)
    fits: Sizes = ()
    shape = concrete(met.data.fact.shape)
    if shape is not None and not links:
        fits = (*shape[: met.axis], met.takes, *shape[met.axis + 1 :])
        tries.append(f"feed {shape_words(fits)}")
    good = bool(other) or evidence.good_call(failure) is not None or evidence.worked(failure)
    votes = _written_data(evidence, root, met) if failure.phase == "build" and not links else 0
    for_own, for_data = ("agreed", "odd_one") if votes > 0 else ("odd_one", "agreed")
    lines = [
        *held(own, "declares_size", *(["worked"] if good else [for_own] if votes else [])),
        *held(given, "other_data" if good else "made_operand", *([for_data] if votes else [])),
    ]
    if votes:
        body.append(f"what a run will feed is made with {met.takes if votes > 0 else met.given}")
    if good:  # the advice begins with what is named first
        tries = tries[::-1] if len(tries) > 1 else [f"give it {met.takes} {unit(failure)}", *tries]
    first = ".fit(" in evidence.source.line(failure.run_site or failure.site)  # nothing was learnt before
    entry = _declared_input(evidence, met) if first and not other else []
    if entry:
        body.append("its weights were made for the declared input, not for what came")
        lines = [*held(entry, "odd_one"), *held(given, "made_operand"), *held(own, "began")]
    lines += held(call(failure, "the call"), "refused", "passes_on")
    return Account(lines, body, tries, fits, 0.75)


def _written_data(evidence: Evidence, root: Operand, met: Meeting) -> int:
    """Return 1 where the array that a run of the program will feed is made, as written, with the width that the
    weight takes, -1 where with the one that the placeholder has, else 0.
    """
    declared = evidence.provenance.declared(root.name) if root.origin == "feed" else None
    if declared is None or declared.site is None:
        return 0
    place = feeds.fed_later(evidence.source, declared.site, evidence.provenance.given_name(declared))
    last = [place, *steps(evidence.source, place)][-1] if place is not None else None
    found = {one.value for one in ast.walk(last.value) if isinstance(one, ast.Constant)} if last else set()
    return int(met.takes in found) - int(met.given in found)


def _told_from(evidence: Evidence, weight: Operand, other: Operand) -> Site | None:
    """Return the line that made `weight`; where a helper's line made both, the one that called it for `weight`,
    or nothing if there is none.
    """
    site, same = evidence.provenance.site(weight), evidence.provenance.site(other)
    if site is None or same is None or (site.file, site.line) != (same.file, same.line):
        return site
    stored = [evidence.provenance.stored(one) for one in (weight, other)]
    own, its = (evidence.provenance.declaration(one) if one is not None else None for one in stored)
    if own is None or its is None or own.type != "Variable" or "layer" in own.attributes:
        return site
    lines = {(one.file, one.line) for one in its.callers}
    return next((one for one in own.callers if (one.file, one.line) not in lines), None)


def _declared_input(evidence: Evidence, met: Meeting) -> list[Candidate]:
    """Return the only line that declared an input, if it says the width that the weight takes."""
    found = [one for one in evidence.provenance.declarations() if one.type == "InputLayer"]
    shape = (found[0].attributes.get("batch_shape") or found[0].attributes.get("shape")) if found else None
    if len({one.site for one in found}) != 1 or not isinstance(shape, list) or shape[-1:] != [met.takes]:
        return []
    site = found[0].site
    return [Candidate(site, "declaration", f"declares inputs of {met.takes}")] if site is not None else []


def _two_variables(
    evidence: Evidence, failure: Failure, met: Meeting, own: Sequence[Candidate]
) -> Account:  # fmt: skip
    """A batched product of two variables: neither is a layer, the product itself is in question."""
    shapes = [shape_words(one.fact.shape) for one in (met.weight, met.data)]
    site = evidence.provenance.site(met.data)
    other = [Candidate(site, "declaration", f"declares {met.data.name}", met.data.name)] if site else []
    body = [
        f"a product of {shapes[0]} and {shapes[1]} takes axis 0 of the latter for a batch of matrices",
        f"each has {met.given} where {met.takes} are needed",
    ]
    tries = ["say which axes are to be summed: tensordot or einsum"] if met.takes in (
        met.data.fact.shape or ()) else []  # fmt: skip
    lines = [*held(call(failure, "the product"), "said"), *held([*own, *other], "made_operand")]
    return Account(lines, body, tries, confidence=0.75)


def _on_another_axis(met: Meeting) -> bool:
    """Whether the data has the wanted size, but not where it is wanted: then what made its width is right."""
    shape = met.data.fact.shape or ()
    return any(size == met.takes for at, size in enumerate(shape) if at != met.axis and at > 0)


def _supports(evidence: Evidence, failure: Failure, met: Meeting) -> bool:
    """Whether the layer declared after the failing one agrees with it: then the one before is the odd one.

    Only a layer that keeps the width (a norm) says something of the widths on both its sides.
    """
    if failure.family != "norm":
        return False
    declared = list(evidence.provenance.declarations())
    at = next((i for i, one in enumerate(declared) if one.name == failure.module), len(declared))
    following = next((w for one in declared[at + 1 :] if (w := taken(one)) is not None), None)
    return following == met.takes
