"""Masks: an attention's mask that was made for other tokens than those it meets, or was never cut to them."""

from __future__ import annotations

import ast

from graphdebug.diagnosis.account import Account, call, operand_origin
from graphdebug.diagnosis.calls import called
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.scopes import covers
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Failure, Node, Operand, Site
from graphdebug.model.finding import Candidate

__all__ = ["explain"]

_FURTHEST = 30
_FILLING = ("masked_fill", "masked_fill_")
_DATA = 3
"""Axes of what an attention attends to; its masks have fewer, or one for each head."""


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Account for a mask that does not fit.

    Another mask of this step fits: the call was given the wrong one. A stored mask is larger on each axis: it
    is to be cut where it is used. Else the line that had it made gave its maker the wrong thing.
    """
    found = _mask(failure)
    if found is None:
        return None
    odd, wanted = found
    body = [f"the mask is {shape_words(odd.fact.shape)}, where {shape_words(wanted)} is expected"]
    tries = [f"make the mask {shape_words(wanted)}, of what is attended to"]
    used = call(failure, "uses the mask")
    data = next((one.fact.shape for one in failure.operands if one.role == "input"), None) or ()
    shape = odd.fact.shape or ()
    if failure.function in _FILLING and len(shape) < len(data) and (shape[0], shape[-1]) == (data[0], data[-1]):
        body = [
            f"the mask {shape_words(shape)} has the batch first, and meets the last axes of {shape_words(data)}"
        ]
        tries = ["give it the axes between, of size 1: mask[:, None, None, :] or unsqueeze"]
        lines = [*held(used, "lacks_step"), *held(_made_at(evidence, failure, odd), "made_operand")]
        return Account(lines, body, tries, confidence=0.85)
    mask = _before(evidence, odd, failure.site)
    stored = _stored(evidence, mask)
    if stored is not None:
        sizes = zip((stored.fact.shape or ())[::-1], wanted[::-1], strict=False)
        larger = all(has is not None and has >= need for has, need in sizes)
        made = held(operand_origin(evidence, stored, failure, "makes the mask"), "began")
        if not larger or stored.fact.shape == wanted or _is_cut(evidence, failure.site):
            return None
        body.append("it is stored as large as it can ever be, and was not cut to what is here")
        tries = ["cut it where it is used: mask[:length, :length]"]
        return Account([*held(used, "lacks_step"), *made], body, tries, confidence=0.85)
    node = evidence.provenance.node(mask.producer)
    if node is None:
        return None
    asked = held(_asked(evidence, failure, node), "made_operand", "odd_one")
    made = [Candidate(node.site, "origin", "makes the mask")] if node.site is not None else []
    other = _other(evidence, failure, mask, node, wanted)
    if other is not None:
        body.append(f"another mask has that shape: {place(other)}")
        tries = ["give it that one", *tries]
    return Account(
        [*held(used, *(["repairs"] if other is not None else ["refused"])), *asked, *held(made, "passes_on")],
        body, tries, confidence=0.85,
    )  # fmt: skip


def _mask(failure: Failure) -> tuple[Operand, tuple[int, ...]] | None:
    """Return the mask of the failing attention and the shape that it should have, as the error says."""
    if failure.function in _FILLING:
        return _filled(failure)
    expected, found = failure.detail.get("expected"), failure.detail.get("found")
    axis = failure.detail.get("dimension")
    if "attention" not in failure.function or "mask" not in failure.message:
        return None
    for one in reversed(failure.operands):
        shape = one.fact.shape
        if shape is None or None in shape or one.origin == "parameter":
            continue
        if isinstance(expected, list | tuple) and isinstance(found, list | tuple) and shape == tuple(found):
            return one, tuple(expected)
        named = isinstance(axis, int) and len(shape) < _DATA and axis < len(shape) and shape[axis] == found
        if named and isinstance(expected, int):
            return one, tuple(expected if i == axis else int(size or 0) for i, size in enumerate(shape))
    return None


def _filled(failure: Failure) -> tuple[Operand, tuple[int, ...]] | None:
    """Return the mask by which scores are filled, and the shape that they have where it has another: sizes of 1
    are for all.
    """
    mask = next((one for one in failure.operands if one.role == "condition"), None)
    data = next((one.fact.shape for one in failure.operands if one.role == "input" and one.fact.shape), None)
    shape = mask.fact.shape if mask is not None else None
    if mask is None or not shape or data is None or len(shape) > len(data) or None in (*shape, *data):
        return None
    if len(shape) == len(data) == 2 and shape[0] == data[1] != data[0]:
        return None  # its batch is the data's second axis: the data may be what is turned
    beside = zip(shape, data[len(data) - len(shape) :], strict=True)
    return mask, tuple(int((size if size == 1 else other) or 0) for size, other in beside)


def _before(evidence: Evidence, operand: Operand, site: Site | None) -> Operand:
    """Return what `operand` was made of before the line at `site`, where a library makes masks of masks."""
    shape = operand.fact.shape
    for _ in range(_FURTHEST):
        node = evidence.provenance.node(operand.producer)
        if (
            node is None
            or site is None
            or node.site is None
            or (node.site.line, node.site.file) != (site.line, site.file)
        ):
            break
        alike = [one for one in node.inputs if one.fact.shape == shape]
        if not alike:
            break
        elsewhere = [one for one in alike if not _on(evidence.provenance.node(one.producer), site)]
        operand = (elsewhere or alike)[0]
    return operand


def _on(node: Node | None, site: Site) -> bool:
    return (
        node is not None
        and node.site is not None
        and (node.site.line, node.site.file) == (site.line, site.file)
    )


def _made_at(evidence: Evidence, failure: Failure, mask: Operand) -> list[Candidate]:
    node = evidence.provenance.node(_before(evidence, mask, failure.site).producer)
    return _asked(evidence, failure, node) if node is not None else []


def _stored(evidence: Evidence, mask: Operand) -> Operand | None:
    """Return the buffer or parameter that a mask is, or was compared or cast from."""
    for _ in range(_FURTHEST):
        if mask.origin in ("buffer", "parameter", "variable"):
            return mask
        node = evidence.provenance.node(mask.producer)
        before = [one for one in node.inputs if one.fact.shape == mask.fact.shape] if node is not None else []
        if not before:
            return None
        mask = before[0]
    return None


def _is_cut(evidence: Evidence, site: Site | None) -> bool:
    """Whether the line that uses the mask takes a part of something: what it met is then what is odd."""
    tree = evidence.source.tree(site.file) if site is not None else None
    nodes = ast.walk(tree) if tree is not None else ()
    return any(isinstance(one, ast.Slice) and site is not None and one.lineno == site.line for one in nodes)


def _asked(evidence: Evidence, failure: Failure, node: Node) -> list[Candidate]:
    """Return the line that had the mask made, in a function that is on the way to the failing call as well; a
    loop over a loader asks for no mask: its own maker made it.
    """
    functions = {(one.file, one.function) for one in failure.frames}
    lines = [one for one in (node.site, *node.callers) if one is not None]
    for inner, line in zip([None, *lines], lines, strict=False):
        if (line.file, line.function) not in functions:
            continue
        calls = inner is None or _calls(evidence, line, inner.function.rpartition(".")[2])
        return [Candidate(line if calls else lines[0], "caller", "has the mask made")]
    return []


def _calls(evidence: Evidence, line: Site, function: str) -> bool:
    """Whether a line calls a function by its name."""
    tree = evidence.source.tree(line.file)
    calls = (one for one in (ast.walk(tree) if tree is not None else ()) if isinstance(one, ast.Call))
    return any(covers(one, line.line) and called(one) == function for one in calls)


def _other(
    evidence: Evidence, failure: Failure, mask: Operand, made: Node, wanted: tuple[int, ...]
) -> Site | None:
    """Return where another mask was made just like this one, which has the shape that is wanted."""
    here, there = failure.site, made.site
    if here is None or there is None:
        return None
    for node in evidence.before(failure.seq, failure.step):
        if node.step != failure.step or node.site is None or node.function != made.function or _on(node, here):
            continue
        fits = any(one.shape == wanted and one.dtype == mask.fact.dtype for one in node.outputs)
        if fits and (node.site.file, node.site.function) == (there.file, there.function):
            return node.site
    return None
