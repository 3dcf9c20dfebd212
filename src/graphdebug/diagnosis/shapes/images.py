"""Images: a layer behind convolutions that was declared for an image of another size."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from graphdebug.diagnosis.account import Account, call, data_entry
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes import repairs
from graphdebug.diagnosis.shapes.declared import declared_lines, layer_name
from graphdebug.diagnosis.shapes.geometry import Link, Sizes, concrete, produced, solve
from graphdebug.diagnosis.shapes.meetings import Meeting
from graphdebug.diagnosis.words import arithmetic, shape_words
from graphdebug.model.event import Failure
from graphdebug.model.finding import Candidate

__all__ = ["other_size"]


def other_size(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
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
            f"{layer_name(evidence, failure, met)} takes {arithmetic(met.takes, factors)} features; "
            f"it was given {arithmetic(met.given, before[1:] if before else ())}"
        )
    ]
    declared = declared_lines(evidence, met, failure, f"declared for {met.takes} features")
    flattened = (
        [Candidate(flat[0].site, "origin", f"the {flat[0].function}", flat[0].name)]
        if flat is not None and flat[0].site is not None
        else []
    )
    given = data_entry(evidence, root, failure, links)
    good = evidence.good_call(failure)

    def fits_in(sizes: Sizes) -> bool:
        return sizes[-1] == met.takes and sizes[0] == batch

    repaired = repairs.padding(evidence, links, root.fact.shape, fits_in)
    lines = [
        *held(repaired, "repairs"),
        *held(declared, "declares_size", *(["worked"] if good is not None else [])),
        *held([] if repaired else _windows(evidence, links, met), "made_operand"),
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


def _windows(evidence: Evidence, links: Sequence[Link], met: Meeting) -> list[Candidate]:
    """Return the windows behind the loading of the data that would make everything fit as another one."""
    first = next(i for i, (node, _) in enumerate(links) if node.family in ("conv", "pool"))
    node, through = links[first]
    start = node.inputs[through].fact.shape
    batch = start[0] if start else None
    found = repairs.windows(evidence, links[first:], start, lambda s: s[-1] == met.takes and s[0] == batch)
    return found or repairs.channels(evidence, links[first:], met.given, met.takes)


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
