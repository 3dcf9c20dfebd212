"""Widths: a layer or product given another width than its weight has, and who declared which."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, prod

import msgspec

from graphdebug.diagnosis.account import Account, call, data_entry, made_by, named_layer, sized_by, trained_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes import repairs
from graphdebug.diagnosis.shapes.geometry import Link, Sizes, concrete, produced, solve
from graphdebug.diagnosis.shapes.meetings import Meeting, meeting_of
from graphdebug.diagnosis.words import arithmetic, shape_words
from graphdebug.model.event import Declaration, Failure, Node, Operand
from graphdebug.model.finding import Candidate

__all__ = ["explain"]

_TAKES = ("in_features", "in_channels", "num_features", "input_size", "input_dim", "embed_dim", "axes")


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Account for a linear, conv, norm or matrix product whose weight does not take what it was given."""
    meeting = meeting_of(evidence, failure)
    if meeting is None:
        return None
    for account in (
        _unbatched,
        _unflattened,
        _moved_channels,
        _no_channel,
        _swapped,
        _other_size,
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
    given = shape_words(root.fact.shape)
    return Account(
        [
            *held(entry, "lacks_step"),
            *held(call(failure), "refused"),
            *held(_declared(evidence, met, failure), "began"),
        ],
        [f"{_layer(evidence, failure, met)} takes {met.takes}; all of {shape_words(shape)} is one sample"],
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
    called, own = call(failure, "it gets more than two dimensions"), _declared(evidence, met, failure)
    listed = failure.module.rpartition(".")[2].isdigit()
    if listed:  # an element of a sequence: what is missing stands there
        candidates = [*held(own[-1:], "lacks_step"), *held(called, "refused"), *held(own[:-1], "began")]
    else:
        candidates = [*held(called, "lacks_step"), *held(own, "declares_size")]
    body = f"{_layer(evidence, failure, met)} takes {arithmetic(met.takes, shape[1:])} features; "
    flat = shape_words((shape[0], met.takes))
    return Account(
        candidates,
        [body + f"each sample has as many, but as {shape_words(shape[1:])}"],
        [f"flatten each sample before this line: {shape_words(shape)} -> {flat}"],
        confidence=0.9,
    )


def _moved_channels(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """The width that the weight takes is there, but on the axis where the other layout has its channels."""
    shape = met.data.fact.shape or ()
    if failure.family not in ("conv", "norm") or len(shape) < 3:
        return None
    other = len(shape) - 1 if met.axis != len(shape) - 1 else len(shape) - 3 if len(shape) == 3 else 1
    if other == met.axis or shape[other] != met.takes or (met.takes > 4 and met.takes == met.given):
        return None
    found, wanted = ("last", "first") if other == len(shape) - 1 else ("first", "last")
    root, links = evidence.provenance.way(met.data)
    turns = [node for node, _ in links if node.family in ("permute", "reshape") and not _in_layer(node, links)]
    if not turns and any(_same_layout(node, failure) for node, _ in links):
        return None
    turned = [Candidate(node.site, "origin", f"the {node.function}") for node in turns[-1:] if node.site]
    entry, called = data_entry(evidence, root, failure, links), call(failure, "the call")
    came_in = not any(_weight_of(node) is not None for node, _ in links)
    candidates = [
        *held(turned, "moved_axis", "changed_size"),
        *held(entry, "moved_axis" if came_in or turned else "began"),
        *held(called, "refused" if came_in or turned else "lacks_step"),
        *held(_declared(evidence, met, failure), "began"),
    ]
    order = (0, len(shape) - 1, *range(1, len(shape) - 1)) if found == "last" else (0, *range(2, len(shape)), 1)
    moved = [shape[i] for i in order]
    return Account(
        candidates,
        [(f"{_layer(evidence, failure, met)} takes {met.takes} channels on axis {met.axis}; "
         f"{shape_words(shape)} has its {met.takes} channels {found}, not {wanted}")],
        [f"permute to {shape_words(moved)} with order {order}"],
        tuple(size for size in moved if size is not None) if not links and None not in moved else (),
        0.85,
    )  # fmt: skip


def _same_layout(node: Node, failure: Failure) -> bool:
    """Whether a conv or pool before the failing one has its channels on the same side."""
    words = [str(one.get("layout") or "") for one in (node.attributes, failure.attributes)]
    alike = words[0].endswith("C") == words[1].endswith("C") or (failure.family == "norm" and not words[1])
    return node.family in ("conv", "pool") and alike


def _in_layer(node: Node, links: Sequence[Link]) -> bool:
    """Whether a layer with weights turned the data for itself, and turned it back."""
    return bool(node.module) and any(one.module == node.module and _weight_of(one) for one, _ in links)


def _swapped(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """The width is there on the other axis of a matrix: the operand is transposed."""
    shape = met.data.fact.shape or ()
    if len(shape) != 2 or failure.family not in ("linear", "matmul") or shape[1 - met.axis] != met.takes:
        return None
    declared = _declared(evidence, met, failure)
    if declared and evidence.provenance.declaration(met.weight) is not None and failure.family == "linear":
        why = f"declared for {met.takes} features, which is the batch size"
        layer = evidence.provenance.declaration(met.weight)
        passed = len(declared) > 1 and layer is not None and declared[0].site != layer.site
        instance = layer.callers[:1] if layer is not None and passed else ()
        made = [Candidate(one, "declaration", "is given the batch size", met.weight.name) for one in instance]
        lines = [*made, *declared[1:]] if made else declared[:1]
        lines = [*lines[: len(made)], *(msgspec.structs.replace(one, why=why) for one in lines[len(made) :])]
        return Account(
            [*held(lines, "declares_size", "odd_one"), *held(call(failure), "refused")],
            [f"{_layer(evidence, failure, met)} takes {met.takes} = the number of rows; a row has {met.given}"],
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


def _other_size(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """The data came through convolutions: the layer was declared for an image of another size."""
    root, links = evidence.provenance.way(met.data)
    if failure.family not in ("linear", "matmul") or not any(n.family in ("conv", "pool") for n, _ in links):
        return None
    batch = (concrete(root.fact.shape) or (0,))[0]
    solved = solve(links, root.fact.shape, lambda s: s[-1] == met.takes and s[0] == batch)
    flat = next((link for link in reversed(links) if link[0].family == "reshape"), None)
    before = concrete(flat[0].inputs[flat[1]].fact.shape) if flat is not None else None
    fits = solved[0] if solved is not None else ()
    factors = _factors(met.takes, before, links, fits)
    body = [
        (
            f"{_layer(evidence, failure, met)} takes {arithmetic(met.takes, factors)} features; "
            f"it was given {arithmetic(met.given, before[1:] if before else ())}"
        )
    ]
    declared = _declared(evidence, met, failure, f"declared for {met.takes} features")
    flattened = (
        [Candidate(flat[0].site, "origin", f"the {flat[0].function}", flat[0].name)]
        if flat is not None and flat[0].site is not None
        else []
    )
    given = data_entry(evidence, root, failure, links)
    good = evidence.good_call(failure)
    repaired = repairs.padding(evidence, links, root.fact.shape, lambda s: s[-1] == met.takes and s[0] == batch)
    lines = [
        *held(repaired, "repairs"),
        *held(declared, "declares_size", *(["worked"] if good is not None else [])),
        *held(flattened, "made_operand", "beside"),
        *held(given, "other_data" if good is not None else "began"),
        *held(call(failure, "the call"), "refused", "passes_on"),
    ]
    tries = [f"declare it for {met.given} features"]
    if solved is not None and fits:
        low, high = solved[1]
        sides = "" if low == high else f" (sides {low} to {high} fit)"
        tries = [f"feed {shape_words(fits[1:])} inputs{sides}", *tries]
    if flat is not None and len(factors) > 2:
        channels_last = any(str(node.attributes.get("layout", "")).endswith("C") for node, _ in links)
        image = factors[:-1] if channels_last else factors[1:]
        tries.append(f"pool adaptively to {shape_words(image)} before the {flat[0].function}")
    return Account(lines, body, tries, fits, 0.9 if fits else 0.8)


def _no_channel(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """A batch without channels was taken for one sample, and its samples for channels."""
    root, links = evidence.provenance.way(met.data)
    given, weight = met.data.fact.shape or (), met.weight.fact.shape or ()
    if failure.family != "conv" or met.takes != 1 or len(given) != len(weight) - 1 or len(given) < 2:
        return None
    wanted = (given[0], 1, *given[1:])
    body = (
        f"{_layer(evidence, failure, met)} takes 1 channel; {shape_words(given)} has none: it was taken for "
        f"one sample of {given[0]} channels"
    )
    return Account(
        [
            *held(call(failure), "lacks_step"),
            *held(data_entry(evidence, root, failure, links), "made_operand"),
            *held(_declared(evidence, met, failure), "began"),
        ],
        [body], [f"give each sample a channel: unsqueeze(1), {shape_words(wanted)}"], confidence=0.75,
    )  # fmt: skip


def _disagreement(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """Two declarations disagree: the layer's, and the one that made what it was given."""
    root, links = evidence.provenance.way(met.data)
    before = next((node for node, _ in reversed(links) if _weight_of(node) is not None), None)
    own = _declared(evidence, met, failure, f"declared for {met.takes}")
    ranks = {len(one.fact.shape or ()) for one in (met.data, met.weight)}
    if failure.family == "matmul" and len(ranks) > 1 and evidence.provenance.stored(met.data) is not None:
        return _two_variables(evidence, failure, met, own)
    body = [f"{_layer(evidence, failure, met)} takes {met.takes} {_unit(failure)}; it was given {met.given}"]
    tries = [f"declare it for {met.given}"]
    if before is not None:
        weight = _weight_of(before)
        site = evidence.provenance.site(weight) if weight is not None else None
        other = [Candidate(site, "declaration", f"makes {met.given}", before.module)] if site else []
        body[0] += f", made by {before.module or before.function}"
        tries.append(f"make {before.module or before.function} give {met.takes}")
        elsewhere = _on_another_axis(met)
        agreed = bool(own and other) and not elsewhere and _supports(evidence, failure, met)
        lines = [*held(own, "declares_size", *(["agreed"] if agreed else [])),
                 *held(other, "began" if elsewhere else "odd_one" if agreed else "made_operand"),
                 *held(call(failure, "the call"), "refused", "passes_on")]  # fmt: skip
        if elsewhere:
            body.append(f"{shape_words(met.data.fact.shape)} has {met.takes} on another axis")
        return Account(lines, body, tries[::-1] if agreed else tries, confidence=0.75)
    given = trained_on(evidence, failure, "input") or data_entry(evidence, root, failure, links)
    fits: Sizes = ()
    shape = concrete(met.data.fact.shape)
    if shape is not None and not links:
        fits = (*shape[: met.axis], met.takes, *shape[met.axis + 1 :])
        tries.append(f"feed {shape_words(fits)}")
    good = evidence.good_call(failure) is not None or evidence.worked(failure)
    lines = [*held(own, "declares_size", *(["worked"] if good else [])),
             *held(given, "other_data" if good else "made_operand")]  # fmt: skip
    if good:  # the advice begins with what is named first
        tries = tries[::-1] if len(tries) > 1 else [f"give it {met.takes} {_unit(failure)}", *tries]
    first = ".fit(" in evidence.source.line(failure.run_site or failure.site)  # nothing was learnt before
    entry = _declared_input(evidence, met) if first else []
    if entry:
        body.append("its weights were made for the declared input, not for what came")
        lines = [*held(entry, "odd_one"), *held(given, "made_operand"), *held(own, "began")]
    lines += held(call(failure, "the call"), "refused", "passes_on")
    return Account(lines, body, tries, fits, 0.75)


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
    following = next((w for one in declared[at + 1 :] if (w := _taken(one)) is not None), None)
    return following == met.takes


def _taken(declaration: Declaration) -> int | None:
    return next((v for key in _TAKES if isinstance(v := declaration.attributes.get(key), int)), None)


def _weight_of(node: Node) -> Operand | None:
    if node.family not in ("linear", "matmul", "conv", "norm"):
        return None
    weights = [one for one in node.inputs if one.origin in ("parameter", "variable") or one.role == "weight"]
    return next((one for one in weights if one.role == "weight"), weights[0] if weights else None)


def _factors(takes: int, before: Sizes | None, links: Sequence[Link], fits: Sizes) -> Sizes:
    """Return the channels and sides that the layer was declared for."""
    if fits:
        shape: Sizes | None = fits
        for node, through in links:
            if node.family == "reshape" and shape is not None and len(shape) > 2:
                return shape[1:]
            shape = produced(node, through, shape) if shape is not None else None
    if before is not None and len(before) == 4:
        channels = before[1] if takes % before[1] == 0 else before[3]
        side = isqrt(takes // channels) if channels and takes % channels == 0 else 0
        if side and channels * side * side == takes:
            return (channels, side, side) if channels == before[1] else (side, side, channels)
    return ()


def _unit(failure: Failure) -> str:
    return "channels" if failure.family in ("conv", "norm") else "features"


def _named(evidence: Evidence, failure: Failure, met: Meeting) -> str:
    weight = evidence.provenance.stored(met.weight) or met.weight
    return evidence.provenance.own_name(weight, failure.frames, failure.function)


def _layer(evidence: Evidence, failure: Failure, met: Meeting) -> str:
    return (
        named_layer(evidence, failure.module)
        or met.weight.name.rpartition(".")[0]
        or _named(evidence, failure, met)
        or f"the {failure.function}"
    )


def _declared(evidence: Evidence, met: Meeting, failure: Failure, why: str = "") -> list[Candidate]:
    stored = evidence.provenance.stored(met.weight) or met.weight
    found = evidence.provenance.declaration(stored) or evidence.provenance.declared(failure.module)
    layer = evidence.provenance.declared(failure.module) if failure.module else None
    if layer is not None and layer.site is not None and _taken(layer) == met.takes and found is not layer:
        found = layer if found is None or _taken(found) != met.takes else found
    site = found.site if found is not None and found.site is not None else evidence.provenance.site(met.weight)
    site = site or evidence.provenance.arguments.made_at(met.weight, failure.frames, failure.function)
    if site is None:
        return []
    words = why or f"declared for {met.takes} {_unit(failure)}"
    if found is not None and found.site is not None:
        return sized_by(evidence, found, met.takes, f"{_layer(evidence, failure, met)} {words}")
    return [Candidate(site, "declaration", f"{_layer(evidence, failure, met)} {words}", met.weight.name)]
