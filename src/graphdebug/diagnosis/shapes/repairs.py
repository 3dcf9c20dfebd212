"""Repairs: the one padding whose change makes everything downstream fit, found by trying each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.geometry import Link, Sizes, concrete, produced, window
from graphdebug.model.event import Node, Shape
from graphdebug.model.finding import Candidate

__all__ = ["padding"]


def padding(
    evidence: Evidence, links: Sequence[Link], source: Shape | None, accepts: Callable[[Sizes], bool]
) -> list[Candidate]:
    """Return the padding arguments to blame: with the other padding there, the input that was fed fits.

    Only a padding that the source line names counts (``padding="VALID"``, ``padding=2``): one that was left
    to its default was not chosen. That a change of one word makes all later sizes agree is no coincidence;
    where the changes of several nodes would do so, none is named.
    """
    start = concrete(source)
    if start is None:
        return []
    lines: dict[tuple[str, int], list[Node]] = {}  # what one line made changes with it
    for node in _windows(links):
        if node.site is not None and _names_padding(evidence.source.line(node.site)):
            lines.setdefault((node.site.file, node.site.line), []).append(node)
    found = [some for some in lines.values() if _fits(links, start, accepts, {one.seq for one in some})]
    named = found[0] if len(found) == 1 else []
    site = named[0].site if named else None
    if site is None:
        return []
    word = "valid" if named[0].attributes.get("padding") == "same" else "same"
    why = f"with padding {word} here, everything behind it fits"
    return [Candidate(site, "declaration", why, named[0].name)]


def _windows(links: Sequence[Link]) -> list[Node]:
    return [
        node for node, _ in links if node.family in ("conv", "pool") and "output_size" not in node.attributes
    ]


def _names_padding(line: str) -> bool:
    return "padding" in line or "SAME" in line.upper() or "VALID" in line.upper()


def _fits(links: Sequence[Link], start: Sizes, accepts: Callable[[Sizes], bool], changed: set[int]) -> bool:
    """Whether `accepts` takes what the input becomes with the padding of the `changed` nodes turned over."""
    shape: Sizes | None = start
    for node, through in links:
        if shape is None:
            return False
        before = concrete(node.inputs[through].fact.shape)
        after = concrete(node.outputs[0].shape) if node.outputs else None
        if node.seq in changed and before is not None and after is not None:
            shape = window(_turned(node), shape, before, after)
        else:
            shape = produced(node, through, shape)
    return shape is not None and accepts(shape)


def _turned(node: Node) -> Node:
    other = "valid" if node.attributes.get("padding") == "same" else "same"
    return msgspec.structs.replace(node, attributes={**node.attributes, "padding": other})
