"""Repairs: the one padding, kernel or stride whose change makes all behind it fit, found by trying each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.geometry import Link, Sizes, concrete, produced, window
from graphdebug.model.event import Node, Shape
from graphdebug.model.finding import Candidate

__all__ = ["channels", "padding", "windows"]


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


def windows(
    evidence: Evidence, links: Sequence[Link], source: Shape | None, accepts: Callable[[Sizes], bool]
) -> list[Candidate]:
    """Return the lines of the windows of which one with another kernel or stride makes everything behind it
    fit; none where more than two would.
    """
    start = concrete(source)
    found: dict[tuple[str, int], Candidate] = {}
    for node in _windows(links) if start is not None else ():
        for word, own, changed in _resized(node):
            if start is None or not _through(links, start, accepts, {node.seq: changed}):
                continue
            declared = evidence.provenance.declared(node.module) if node.module else None
            site = (declared.site if declared is not None else None) or node.site
            if site is not None:
                why = f"with a {word} of {changed.attributes[word][0]}, not {own}, everything behind it fits"
                found.setdefault((site.file, site.line), Candidate(site, "declaration", why, node.name))
    return list(found.values()) if len(found) < 3 else []


def _resized(node: Node) -> Iterator[tuple[str, int, Node]]:
    """Yield a window's node with other kernels and strides, near by and half or twice as large."""
    for word in ("kernel", "stride"):
        given = node.attributes.get(word)
        sides: list[int] = [one for one in (given if isinstance(given, list | tuple) else [given])
                            if isinstance(one, int)]  # fmt: skip
        for step in (-1, 1, -2, 2, -(sides[0] // 2), sides[0]) if sides else ():
            other = [side + step for side in sides]
            if step and min(other) > 0:
                attributes = {**node.attributes, word: other}
                yield word, sides[0], msgspec.structs.replace(node, attributes=attributes)


def channels(evidence: Evidence, links: Sequence[Link], given: int, takes: int) -> list[Candidate]:
    """Return the last convolution, where another number of its channels makes `takes` of `given`."""
    last = next((node for node, _ in reversed(links) if node.family == "conv"), None)
    if last is None:
        return []
    weight = next((one.fact.shape for one in last.inputs if one.role == "weight"), None)
    words = last.attributes
    turned = words.get("weight_layout") == "HWIO" or words.get("transposed")
    many = (weight[-1] if turned else weight[0]) if weight else None
    declared = evidence.provenance.declared(last.module) if last.module else None
    if not many or given % many or takes % (given // many) or declared is None or declared.site is None:
        return []
    why = f"makes {many} channels: {takes // (given // many)} would fit"
    return [Candidate(declared.site, "declaration", why, declared.name)]


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
