"""Makers: which declarations gave a size, or its parts where several tensors were joined."""

from __future__ import annotations

from collections.abc import Callable

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.meetings import Meeting
from graphdebug.diagnosis.shapes.setters import Setter, setter
from graphdebug.model.event import Failure, Node, Operand, Site
from graphdebug.model.finding import Candidate

__all__ = ["every_instance", "joined_widths", "maker_of"]

_GIVES = ("out_features", "out_channels", "hidden_size", "embedding_dim", "embed_dim", "d_model")
"""What declarations call the width that a layer gives."""


def maker_of(evidence: Evidence, data: Operand, width: int, failure: Failure) -> list[Candidate]:
    """Return the declaration of the last layer on the way to `data` that says its very width."""
    first = setter(evidence, data, len(data.fact.shape or ()) - 1).node
    nodes = [node for node, _ in reversed(evidence.provenance.way(data)[1])]
    for node in (*([first] if first is not None else []), *nodes):
        declared = evidence.provenance.declared(node.module) if node.module else None
        if declared is None or declared.name == failure.module:
            continue
        ways = 2 if declared.attributes.get("bidirectional") else 1
        gives = [declared.attributes.get(word) for word in _GIVES]
        site = evidence.provenance.line_of(declared)
        if site is not None and any(type(one) is int and width in (one, one * ways) for one in gives):
            return [Candidate(site, "declaration", f"{declared.name} makes {width}", declared.name)]
    return []


def joined_widths(evidence: Evidence, met: Meeting) -> list[Candidate]:
    """Return the declarations of layers that made parts of a joined width, each with the width that would fit.

    What one line made changes together: it is named where another width of its parts gives what is wanted.
    """
    joined = setter(evidence, met.data, met.axis).node
    if joined is None or joined.family != "cat" or joined.function == "stack":
        return []
    axis = setter(evidence, met.data, met.axis).axis
    widths: dict[Site, list[int]] = {}
    for one in joined.inputs:
        shape = one.fact.shape or ()
        size = shape[axis] if axis < len(shape) else None
        site = _declared(evidence, setter(evidence, one, axis))
        if site is not None and size is not None:
            widths.setdefault(site, []).append(size)
    found: list[Candidate] = []
    for site, sizes in widths.items():
        rest = met.takes - (met.given - sum(sizes))
        if rest > 0 and rest % len(sizes) == 0 and len(set(sizes)) == 1:
            why = f"makes {len(sizes)} of the parts {sizes[0]} wide: {rest // len(sizes)} would fit"
            found.append(Candidate(site, "declaration", why))
    return found


def every_instance(evidence: Evidence, node: Node, alike: Callable[[Node], bool]) -> list[Candidate]:
    """Return the line of a class that made the layer of `node`, where it is `alike` in what it did to the
    layers that this line made of the class's other instances.
    """
    made = {one.name: one.site for one in evidence.run.declarations}
    site = made.get(node.module) if node.module else None
    names = {name for name, other in made.items() if other == site}
    ran = [
        one for one in evidence.run.step(node.step).nodes
        if one.module in names and one.phase == node.phase and one.family == node.family
    ]  # fmt: skip
    count = len({one.module for one in ran})
    if site is None or count < 2 or not all(map(alike, ran)):
        return []
    return [Candidate(site, "declaration", f"made {count} layers, all of which do so", node.module)]


def _declared(evidence: Evidence, by: Setter) -> Site | None:
    """Return the line of the layer or table that gave an axis its size."""
    for one in by.node.inputs if by.node is not None else ():
        stored = evidence.provenance.stored(one)
        if stored is not None:
            return evidence.provenance.site(stored)
    return None
