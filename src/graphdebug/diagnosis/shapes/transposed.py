"""Transposed: an output shape asked of a transposed convolution that its stride can't give from its input.

Some frameworks take any output shape when the graph is built, and find out in its gradient or when it runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from graphdebug.diagnosis.account import Account, call, made_by
from graphdebug.diagnosis.calls import argument, calls_at
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.geometry import spatial_axes
from graphdebug.diagnosis.shapes.setters import setter
from graphdebug.model.event import Failure, Node, Operand, Site
from graphdebug.model.finding import Candidate

__all__ = ["explain"]

_WORD, _PLACE = "output_shape", 2
"""How calls name the shape that they ask for."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A transposed convolution, and the size it was asked for on one axis."""

    node: Node
    axis: int
    size: int

    @property
    def given(self) -> int | None:
        """The size of its input."""
        shape = _input(self.node).fact.shape
        return shape[self.axis] if shape is not None else None

    @property
    def takes(self) -> int | None:
        """The size that its input must have for what was asked."""
        axes = spatial_axes(self.node, len(_input(self.node).fact.shape or ()))
        weight = next((one.fact.shape for one in self.node.inputs if one.role == "weight"), None)
        stride, padding = self.node.attributes.get("stride"), self.node.attributes.get("padding")
        if self.axis not in axes or not isinstance(stride, list) or len(stride) != len(axes) or not weight:
            return None
        step, kernel = stride[axes.index(self.axis)], weight[axes.index(self.axis)]
        if padding == "same":
            return -(-self.size // int(step))
        return None if kernel is None or padding != "valid" else (self.size - kernel) // int(step) + 1


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Return what is known of a transposed convolution whose output shape does not go with its input."""
    asked = _failed(evidence, failure)
    if asked is None:
        return None
    found, wanted, others = asked.given, asked.takes, _sizes(evidence, failure, asked.axis)
    made = setter(evidence, _input(asked.node), asked.axis)
    before = _of_node(evidence, made.node, asked.axis) if made.node is not None else None
    lines = held(_lines(evidence, asked, f"asks for {asked.size}, which takes {wanted}"), "declares_size",
                 "agreed" if asked.size in others else "repairs")  # fmt: skip
    odd = wanted in others and found not in others
    if before is not None:
        fits = wanted is not None and replace(before, size=wanted).takes == before.given
        lines += held(_lines(evidence, before, f"asks for {found}, where {wanted} is taken"), "declares_size",
                      *(["repairs"] if fits else []), *(["odd_one"] if odd else []))  # fmt: skip
    elif made.node is not None and made.node.site is not None:
        lines += held(made_by(made.node, f"makes the {found}"), "made_operand")
    stride = asked.node.attributes.get("stride")
    body = [f"with a stride of {stride} it gives {asked.size} only from {wanted}, and its input has {found}"]
    if odd:
        body.append(f"{wanted} is what other layers make, {found} is made nowhere else")
    tries = [f"ask for {wanted} in the layer before" if before is not None and (odd or asked.size in others)
             else f"ask for a size that {found} can give"]  # fmt: skip
    return Account([*lines, *held(call(failure), "passes_on")], body, tries, confidence=0.8)


def _failed(evidence: Evidence, failure: Failure) -> _Asked | None:
    """Return the transposed convolution that failed, or whose gradient did, where its sizes clash."""
    name, node = failure.detail.get("forward"), evidence.provenance.node(failure.node)
    if isinstance(name, str):
        node = next((one for one in evidence.before(failure.seq, failure.step) if one.name == name), None)
    rank = len(_input(node).fact.shape or ()) if node is not None and _is_transposed(node) else 0
    for axis in range(rank):
        asked = _of_node(evidence, node, axis) if node is not None else None
        if asked is not None and None not in (asked.takes, asked.given) and asked.takes != asked.given:
            return asked
    return None


def _is_transposed(node: Node) -> bool:
    roles = [one.role for one in node.inputs]
    return node.family == "conv" and "index" in roles and "gradient" in roles


def _input(node: Node) -> Operand:
    return next(one for one in node.inputs if one.role == "gradient")


def _of_node(evidence: Evidence, node: Node, axis: int) -> _Asked | None:
    """Return what a node was asked for on an axis, as it gave it or as the source says it."""
    if not _is_transposed(node):
        return None
    shape = node.outputs[0].shape if node.outputs else None
    size = shape[axis] if shape is not None and axis < len(shape) else None
    if size is None:
        value = next((one for one in _written(evidence, node)), (None, None))[1]
        sizes = (
            next((one.elts for one in ast.walk(value) if isinstance(one, ast.List | ast.Tuple)), [])
            if value
            else []
        )
        literal = sizes[axis] if axis < len(sizes) else None
        size = literal.value if isinstance(literal, ast.Constant) and isinstance(literal.value, int) else None
    return _Asked(node, axis, size) if size is not None else None


def _sizes(evidence: Evidence, failure: Failure, axis: int) -> set[int | None]:
    """Return the sizes that convolutions and pools made on an axis, of themselves."""
    return {
        one.shape[axis]
        for node in evidence.run.step(failure.step).nodes
        if node.family in ("conv", "pool") and node.phase != "backward" and not _is_transposed(node)
        for one in node.outputs[:1]
        if one.shape and axis < len(one.shape)
    }


def _lines(evidence: Evidence, asked: _Asked, why: str) -> list[Candidate]:
    """Return the line that wrote the output shape, as far as it was handed over; else the call itself."""
    made = next((site for site, _ in _written(evidence, asked.node)), asked.node.site)
    return [Candidate(made, "declaration", why)] if made is not None else []


def _written(evidence: Evidence, node: Node) -> Iterator[tuple[Site, ast.expr]]:
    """Yield the line that wrote the output shape of a call, and the expression there."""
    frames = [*reversed(node.callers), *([node.site] if node.site is not None else [])]
    tree = evidence.source.tree(frames[-1].file) if frames else None
    for one in calls_at(tree, frames[-1], "conv2d_transpose") if tree is not None else ():
        value = argument(one, _WORD, _PLACE) if isinstance(one, ast.Call) else None
        found = evidence.provenance.arguments.settled(value, frames) if value is not None else None
        if found is not None:
            yield found
