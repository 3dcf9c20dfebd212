"""Comparison: two runs side by side, node by node, also of a static graph against a dynamic one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

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
_FIRST_STEPS = 8


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
    """Return the steps of the two runs that are most alike, the earliest of those, node by node."""
    steps = _alike(left, right)
    if steps is None:
        return Comparison((), "The runs have no step in common: they ran different ops")
    nodes = [_forward(run, step) for run, step in zip((left, right), steps, strict=True)]
    rows = tuple(_rows(*nodes))
    first = next((row for row in rows if row.kind == "differs"), None)
    said = f"Forward nodes of step {steps[0]}" + ("" if steps[0] == steps[1] else f" against step {steps[1]}")
    if first is None:
        lone = sum(row.kind == "only" for row in rows)
        return Comparison(rows, f"{said}: no difference in {len(rows) - lone} nodes that both runs have")
    return Comparison(
        rows, f"{said}: the first difference is at {first.left.label} {first.left.line}: {first.said}"
    )


def _alike(left: Run, right: Run) -> tuple[int, int] | None:
    """The steps that share the largest part of their words; a TF1 session counts its initializers as one."""
    words = [
        {step: Counter(map(_word, _forward(run, step))) for step in run.steps[:_FIRST_STEPS]}
        for run in (left, right)
    ]
    likeness = {
        (a, b): (one & other).total() / (one | other).total()
        for a, one in words[0].items()
        for b, other in words[1].items()
        if one & other
    }
    return max(likeness, key=lambda pair: (likeness[pair], -sum(pair)), default=None)


def _forward(run: Run, step: int) -> Sequence[Node]:
    nodes = [node for node in run.step(step).nodes if node.phase == "forward" and node.family not in _PLUMBING]
    return nodes[:_MOST]


def _rows(left: Sequence[Node], right: Sequence[Node]) -> Iterator[ComparisonRow]:
    matcher = SequenceMatcher(None, [_word(one) for one in left], [_word(one) for one in right], autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield from (_pair(x, y) for x, y in zip(left[a:b], right[c:d], strict=True))
        else:
            yield from (_apart(x, None) for x in left[a:b])
            yield from (_apart(None, y) for y in right[c:d])


def _word(node: Node) -> str:
    """What a node does, coarsely enough to be alike in all frameworks; a module or a line would not be."""
    if node.family in ("linear", "matmul"):
        return "matmul"
    return node.function if node.family in ("elementwise", "reduce") else node.family


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
    said = "only in the second run" if left is None else "only in the first run"
    return ComparisonRow(_side(left) if left else Side(), _side(right) if right else Side(), "only", said)


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
