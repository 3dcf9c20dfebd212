"""Repairs: the one padding whose change makes everything downstream fit, found by trying each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
        return _strides(links, start, accepts)
    word = "valid" if named[0].attributes.get("padding") == "same" else "same"
    why = f"with padding {word} here, everything behind it fits"
    return [Candidate(site, "declaration", why, named[0].name)]


def _strides(links: Sequence[Link], start: Sizes, accepts: Callable[[Sizes], bool]) -> list[Candidate]:
    """Return the one call of a helper to blame whose stride is another than that of its other calls: with
    theirs, the input that was fed fits.
    """
    nodes, found = _windows(links), list[tuple[Node, object]]()
    for node in nodes:
        own = node.attributes.get("stride")
        alike = [one for one in nodes if one is not node and _line(one) == _line(node) and node.callers]
        for other in alike:
            stride = other.attributes.get("stride")
            if stride == own or other.callers[:1] == node.callers[:1]:
                continue
            changed = msgspec.structs.replace(node, attributes={**node.attributes, "stride": stride})
            if _through(links, start, accepts, {node.seq: changed}):
                found.append((node, stride))
    if len({node.seq for node, _ in found}) != 1:
        return []
    node, stride = found[0]
    why = f"with the stride of the other calls, {stride}, everything behind it fits"
    return [Candidate(node.callers[0], "caller", why, node.name)]


def _line(node: Node) -> tuple[str, int] | None:
    return (node.site.file, node.site.line) if node.site is not None else None


def _windows(links: Sequence[Link]) -> list[Node]:
    return [
        node for node, _ in links if node.family in ("conv", "pool") and "output_size" not in node.attributes
    ]


def _names_padding(line: str) -> bool:
    return "padding" in line or "SAME" in line.upper() or "VALID" in line.upper()


def _fits(links: Sequence[Link], start: Sizes, accepts: Callable[[Sizes], bool], changed: set[int]) -> bool:
    """Whether `accepts` takes what the input becomes with the padding of the `changed` nodes turned over."""
    return _through(links, start, accepts, {one.seq: _turned(one) for one, _ in links if one.seq in changed})


def _through(
    links: Sequence[Link], start: Sizes, accepts: Callable[[Sizes], bool], changed: Mapping[int, Node]
) -> bool:
    """Whether `accepts` takes what the input becomes with other nodes in the place of the `changed`."""
    shape: Sizes | None = start
    for node, through in links:
        if shape is None:
            return False
        before = concrete(node.inputs[through].fact.shape)
        after = concrete(node.outputs[0].shape) if node.outputs else None
        if node.seq in changed and before is not None and after is not None:
            shape = window(changed[node.seq], shape, before, after)
        else:
            shape = produced(node, through, shape)
    return shape is not None and accepts(shape)


def _turned(node: Node) -> Node:
    other = "valid" if node.attributes.get("padding") == "same" else "same"
    return msgspec.structs.replace(node, attributes={**node.attributes, "padding": other})
