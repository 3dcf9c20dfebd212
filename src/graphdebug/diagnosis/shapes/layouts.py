"""Layouts: channels that lie on another axis than a layer takes them from, or are not there at all."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import Account, call, data_entry
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.inputs import shaped
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.declared import declared_lines, layer_name, weight_of
from graphdebug.diagnosis.shapes.geometry import Link
from graphdebug.diagnosis.shapes.meetings import Meeting
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Node
from graphdebug.model.finding import Candidate

__all__ = ["moved_channels", "no_channel"]


def moved_channels(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
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
    here = failure.site.line if failure.site is not None else 0
    turns = [node for node in turns if node.site is None or node.site.line != here] or turns
    if not turns and any(_same_layout(node, failure) for node, _ in links):
        return None
    turned = [Candidate(node.site, "origin", f"the {node.function}") for node in turns[-1:] if node.site]
    entry, called = data_entry(evidence, root, failure, links), call(failure, "the call")
    came_in = not any(weight_of(node) is not None for node, _ in links)
    due = tuple(None if axis == 0 else shape[i] for axis, i in enumerate(_order(found, len(shape))))
    made = shaped(evidence, failure, root, due) if came_in and not turned else []
    candidates = [
        *held(made, "moved_axis", "changed_size"),
        *held(turned, "moved_axis", "changed_size"),
        *held(entry, "passes_on" if made else "moved_axis" if came_in or turned else "began"),
        *held(called, "refused" if came_in or turned else "lacks_step"),
        *held(declared_lines(evidence, met, failure), "began"),
    ]
    order = _order(found, len(shape))
    moved = [shape[i] for i in order]
    return Account(
        candidates,
        [(f"{layer_name(evidence, failure, met)} takes {met.takes} channels on axis {met.axis}; "
         f"{shape_words(shape)} has its {met.takes} channels {found}, not {wanted}")],
        [f"permute to {shape_words(moved)} with order {order}"],
        tuple(size for size in moved if size is not None) if not links and None not in moved else (),
        0.85,
    )  # fmt: skip


def _order(found: str, rank: int) -> tuple[int, ...]:
    """Return the order of axes that brings channels found first or last where they are looked for."""
    return (0, rank - 1, *range(1, rank - 1)) if found == "last" else (0, *range(2, rank), 1)


def _same_layout(node: Node, failure: Failure) -> bool:
    """Whether a conv or pool before the failing one has its channels on the same side."""
    words = [str(one.get("layout") or "") for one in (node.attributes, failure.attributes)]
    alike = words[0].endswith("C") == words[1].endswith("C") or (failure.family == "norm" and not words[1])
    return node.family in ("conv", "pool") and alike


def _in_layer(node: Node, links: Sequence[Link]) -> bool:
    """Whether a layer with weights turned the data for itself, and turned it back."""
    return bool(node.module) and any(one.module == node.module and weight_of(one) for one, _ in links)


def no_channel(evidence: Evidence, failure: Failure, met: Meeting) -> Account | None:
    """A batch without channels was taken for one sample, and its samples for channels."""
    root, links = evidence.provenance.way(met.data)
    given, weight = met.data.fact.shape or (), met.weight.fact.shape or ()
    if failure.family != "conv" or met.takes != 1 or len(given) != len(weight) - 1 or len(given) < 2:
        return None
    wanted = (given[0], 1, *given[1:])
    layer = layer_name(evidence, failure, met)
    body = (
        f"{layer} takes 1 channel; {shape_words(given)} has none: it was taken for "
        f"one sample of {given[0]} channels"
    )
    return Account(
        [
            *held(call(failure), "lacks_step"),
            *held(data_entry(evidence, root, failure, links), "made_operand"),
            *held(declared_lines(evidence, met, failure), "began"),
        ],
        [body], [f"give each sample a channel: unsqueeze(1), {shape_words(wanted)}"], confidence=0.75,
    )  # fmt: skip
