"""Comparison: two runs side by side, node by node, also of a static graph against a dynamic one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import zip_longest

import msgspec

from graphdebug.model.event import Node, Number
from graphdebug.model.run import Run
from graphdebug.view.rows import worst
from graphdebug.view.words import clean, health, shape_text, site_text

__all__ = ["Comparison", "ComparisonRow", "Side", "compare"]

_MOST = 4000
_PLUMBING = {"reshape", "permute", "fill", "copy", "control", "placeholder", "assign", "cast"}
"""Families that one framework runs and another does not; they take no part."""
_TOLERANCE = 1e-3


class Side(msgspec.Struct, frozen=True):
    """A node of one of the two runs; `seq` is None where that run has none here."""

    seq: int | None = None
    label: str = ""
    module: str = ""
    line: str = ""
    shape: str = ""
    health: str = ""
    l2: Number | None = None


class ComparisonRow(msgspec.Struct, frozen=True):
    """Two nodes that do the same, or one that the other run lacks."""

    left: Side
    right: Side
    kind: str
    """``same``, ``differs`` or ``only``."""
    said: str


class Comparison(msgspec.Struct, frozen=True):
    """The forward nodes of one step of each run, aligned by what they do."""

    rows: tuple[ComparisonRow, ...]
    said: str


def compare(left: Run, right: Run) -> Comparison:
    """Return the runs' first common step, node by node; where they have none, the first step of each."""
    common = sorted(set(left.steps) & set(right.steps))
    steps = (common[0], common[0]) if common else (next(iter(left.steps), 0), next(iter(right.steps), 0))
    nodes = [_forward(run, step) for run, step in zip((left, right), steps, strict=True)]
    rows = tuple(_rows(*nodes))
    first = next((row for row in rows if row.kind != "same"), None)
    said = f"Forward nodes of step {steps[0]}" + ("" if steps[0] == steps[1] else f" against step {steps[1]}")
    if first is None:
        return Comparison(rows, f"{said}: no difference in {len(rows)} nodes")
    place = first.left if first.left.seq is not None else first.right
    return Comparison(rows, f"{said}: the first difference is at {place.label} {place.line}: {first.said}")


def _forward(run: Run, step: int) -> Sequence[Node]:
    nodes = [node for node in run.step(step).nodes if node.phase == "forward" and node.family not in _PLUMBING]
    return nodes[:_MOST]


def _rows(left: Sequence[Node], right: Sequence[Node]) -> list[ComparisonRow]:
    matcher = SequenceMatcher(None, [_word(one) for one in left], [_word(one) for one in right], autojunk=False)
    rows: list[ComparisonRow] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            rows += [_pair(x, y) for x, y in zip(left[a:b], right[c:d], strict=True)]
        else:
            rows += [_apart(x, y) for x, y in zip_longest(left[a:b], right[c:d])]
    return rows


def _word(node: Node) -> str:
    """What a node does, alike in all frameworks."""
    return node.function if node.family in ("elementwise", "reduce", "loss") else node.family


def _pair(left: Node, right: Node) -> ComparisonRow:
    a, b = _side(left), _side(right)
    differences = []
    if _sizes(left) != _sizes(right):
        differences.append(f"shape {a.shape} against {b.shape}")
    if "not" in (_state(a), _state(b)) and _state(a) != _state(b):
        differences.append(f"{a.health or 'unknown'} against {b.health or 'unknown'}")
    if a.l2 is not None and b.l2 is not None and _apart_by(float(a.l2), float(b.l2)) > _TOLERANCE:
        differences.append(f"l2 {float(a.l2):.5g} against {float(b.l2):.5g}")
    return ComparisonRow(a, b, "differs" if differences else "same", ", ".join(differences))


def _sizes(node: Node) -> Sequence[int | None]:
    """The sizes of the output, in no order: layouts differ between frameworks."""
    shape = node.outputs[0].shape if node.outputs else None
    return sorted(shape or (), key=lambda size: size or 0)


def _state(side: Side) -> str:
    return side.health if side.health in ("ok", "") else "not"


def _apart_by(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b), 1e-12)


def _apart(left: Node | None, right: Node | None) -> ComparisonRow:
    a, b = (_side(left) if left else Side()), (_side(right) if right else Side())
    said = (
        "only in the first run" if right is None else "only in the second run" if left is None else "different"
    )
    return ComparisonRow(a, b, "only" if left is None or right is None else "differs", said)


def _side(node: Node) -> Side:
    fact = worst(node.outputs)
    return Side(
        seq=node.seq,
        label=clean(node.function or node.op),
        module=clean(node.module or node.name),
        line=site_text(node.site),
        shape=shape_text(fact.shape) if fact else "",
        health=health(fact) if fact else "",
        l2=fact.stats.l2 if fact and fact.stats else None,
    )
