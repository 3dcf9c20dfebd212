"""Silent fold: a reshape that moved part of each sample into the batch, or the batch into the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes import repairs
from graphdebug.diagnosis.shapes.asked import asked, declared_so
from graphdebug.diagnosis.shapes.geometry import Link, Sizes, concrete, solve
from graphdebug.diagnosis.words import arithmetic, shape_words
from graphdebug.model.event import Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["Fold", "FoldWatch", "behind", "classify", "report"]

Way = Literal["mixed", "split", "joined", "transposed"]


@dataclass(frozen=True, slots=True)
class Fold:
    """A reshape node after which the first dimension is no longer the batch."""

    node: Node
    way: Way
    before: Sizes
    after: Sizes
    root: Operand
    links: Sequence[Link]
    """The nodes from the input up to the reshape, the reshape included."""


def classify(before: Sizes, after: Sizes) -> Way | None:
    """Say what a reshape did to the first dimension; None where rows still are samples, or whole parts.

    A sample is ``prod(before[1:])`` neighbouring elements and a row of the result ``prod(after[1:])``. If
    neither divides the other, rows mix samples. If rows are parts of samples that are not made of whole
    trailing dimensions (nor of parts of the last one, as heads are), samples were split; the other way
    round they were joined. Merging whole dimensions (batch and time, batch and channel) is neither.
    """
    if len(before) < 2 or not after or prod(before) != prod(after) or prod(before) == 0:
        return None
    if sorted(before) == sorted(after) and _moved(before, after):
        return "transposed"
    if before[0] == after[0]:
        return None
    sample, row = prod(before[1:]), prod(after[1:])
    if max(sample, row) % min(sample, row):
        return "mixed"
    if row < sample and row not in _ends(before) and before[-1] % row and not _keeps_tail(before, after):
        return "split"
    if row > sample and sample not in _ends(after) and len(before) > 2:
        return "joined"
    return None


def behind(evidence: Evidence, operand: Operand, rows: int, *, merged: bool = False) -> Fold | None:
    """Return the first fold on the way of `operand` that made `rows` rows of the batch.

    Args:
        evidence: the run.
        operand: what has the rows.
        rows: how many.
        merged: also take a merge of the batch with whole dimensions, which is no fold by itself: for where
            something else still has the old batch.

    """
    root, links = evidence.provenance.way(operand)
    batch = root.fact.shape[0] if root.fact.shape else None
    for position, (node, through) in enumerate(links):
        before = concrete(node.inputs[through].fact.shape)
        after = concrete(node.outputs[0].shape) if node.outputs else None
        if node.family != "reshape" or before is None or after is None or before[:1] != (batch,):
            continue
        way = classify(before, after)
        if way is None and merged and after[0] != before[0] and len(before) > 2:
            way = "split" if after[0] > before[0] else "joined"
        if way is not None and way != "transposed" and rows in after:
            return Fold(node, way, before, after, root, links[: position + 1])
    return None


def report(
    evidence: Evidence, fold: Fold, *, failed: Site | None, when: str, confidence: float,
    consequence: Sequence[str] = (), frames: Sequence[Site] = (), seqs: Sequence[int] = (),
) -> Finding:  # fmt: skip
    """Return the finding for `fold`; `failed` is the line where it showed, if it did."""
    node, before, after = fold.node, fold.before, fold.after
    site = node.site or failed
    fits = _fitting(fold)
    candidates = [Candidate(site, "expression", f"the {node.function}", node.name)] if site else []
    agrees = fold.way != "transposed" and declared_so(evidence, fold.root)
    if site is not None and fold.way != "transposed":
        written = asked(evidence, [*reversed(node.callers), site], prod(after[1:]))
        candidates = [*written, *candidates] if agrees else [*candidates, *written]
    fits = () if agrees else fits
    origin = evidence.provenance.root_site(fold.root, frames, fold.links)
    if origin is not None and not agrees:
        candidates.append(Candidate(origin, "input", "the input", fold.root.name))
    sample, row = prod(before[1:]), prod(after[1:])
    if fold.way == "transposed":
        return _exchanged(evidence, fold, candidates, when=when, confidence=confidence)
    repaired = repairs.padding(
        evidence, fold.links[:-1], fold.root.fact.shape,
        lambda shape: shape[0] == before[0] and prod(shape[1:]) == row,
    )  # fmt: skip
    candidates = [*repaired, *candidates]
    body = [
        (
            f"  {node.function} {shape_words(before)} -> {shape_words(after)}: "
            f"{before[0]} samples became {after[0]} rows"
        ),
        f"  one sample is {arithmetic(sample, before[1:])} elements, one row {arithmetic(row, after[1:])}: "
        + _WAYS[fold.way],
        "  " + evidence.provenance.how(node.inputs[fold.links[-1][1]], fold.root.name),
        *consequence,
    ]
    tries = [f"keep the batch: flatten from dimension 1, {shape_words((before[0], sample))}"]
    if fits:
        tries.insert(0, f"feed {shape_words(fits)}, which gives rows of {row}")
    return evidence.finding(
        "silent_fold",
        what=f"the batch was folded into other rows by {node.function}",
        candidates=candidates, failed=failed, when=when, body=[one for one in body if one.strip()],
        tries=tries, operands=(node.inputs[fold.links[-1][1]],), evidence=(node.seq, *seqs),
        confidence=confidence, fits=fits,
    )  # fmt: skip


def _exchanged(
    evidence: Evidence, fold: Fold, candidates: Sequence[Candidate], *, when: str, confidence: float
) -> Finding:
    """Return the finding for a reshape that gives axes other places."""
    node, before, after = fold.node, fold.before, fold.after
    order = _order(before, after)
    tries = [f"exchange the axes: permute{order}" if order else "exchange the axes: permute"]
    body = [f"  {node.function} {shape_words(before)} -> {shape_words(after)}: {_WAYS[fold.way]}",
            "  each element is at another place than its axes say"]  # fmt: skip
    return evidence.finding(
        "silent_fold", what=f"axes were given other places by {node.function}", candidates=candidates,
        when=when, body=body, tries=tries,
        operands=(node.inputs[fold.links[-1][1]],), evidence=(node.seq,), confidence=confidence,
    )  # fmt: skip


def _order(before: Sizes, after: Sizes) -> tuple[int, ...]:
    """Return the axes of `before` in the order in which `after` has their sizes."""
    left = list(range(len(before)))
    order = []
    for size in after:
        axis = next((one for one in left if before[one] == size), None)
        if axis is None:
            return ()
        left.remove(axis)
        order.append(axis)
    return tuple(order)


_WAYS: dict[str, str] = {
    "mixed": "rows mix pieces of different samples",
    "split": "each sample was cut into several rows",
    "joined": "each row holds several samples",
    "transposed": "a reshape keeps the order of elements, it does not move dimensions",
}


class FoldWatch:
    """Looks at every reshape of a run for folds that never failed."""

    families = ("reshape",)

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._judged: set[tuple[Site | None, Sizes, Sizes]] = set()
        self._found: list[Finding] = []

    def see(self, node: Node) -> None:
        """Judge one reshape, once for each line and pair of shapes."""
        if node.phase != "forward" or not node.inputs or not node.outputs or len(self._found) >= 3:
            return
        before, after = concrete(node.inputs[0].fact.shape), concrete(node.outputs[0].shape)
        if before is None or after is None or (node.site, before, after) in self._judged:
            return
        self._judged.add((node.site, before, after))
        way = classify(before, after)
        if way is not None:
            self._confirm(node, way, before, after)

    def findings(self) -> Sequence[Finding]:
        """The folds that were found."""
        return self._found

    def _confirm(self, node: Node, way: Way, before: Sizes, after: Sizes) -> None:
        root, links = self._evidence.provenance.way(node.inputs[0])
        if self._evidence.provenance.stored(node.inputs[0]) is not None or node.site is None:
            return
        batch = root.fact.shape[0] if root.fact.shape else None
        if way == "transposed":
            certain = len(before) >= 3 and before[0] == batch
        else:
            # Without a failure to go by, the batch must have been computed (-1), by a fixed width.
            computed = _asked_rows(node, self._evidence) == -1
            windows = any(one.family in ("conv", "pool") for one, _ in links)
            certain = before[0] == batch and len(before) >= 3 and computed and (way == "mixed" or windows)
        if certain and (way == "transposed" or self._feeds_layer(node)):
            fold = Fold(node, way, before, after, root, [*links, (node, 0)])
            when = f"{node.phase}, step {node.step}; nothing failed"
            self._found.append(
                report(self._evidence, fold, failed=None, when=when, confidence=0.9 if way == "mixed" else 0.7)
            )

    def _feeds_layer(self, node: Node) -> bool:
        """Whether what the reshape made goes into a layer with weights, soon."""
        tainted = {node.seq}
        for later in self._evidence.run.step(node.step).nodes:
            if later.seq <= node.seq or not any(one.producer in tainted for one in later.inputs):
                continue
            if later.family in ("linear", "matmul", "conv", "loss"):
                return True
            tainted.add(later.seq)
        return False


def _fitting(fold: Fold) -> Sizes:
    """Return the input that would have made one row of each sample, if it can be solved for."""
    root, batch, row = fold.root.fact.shape, fold.before[0], prod(fold.after[1:])
    if fold.way == "transposed":
        return ()
    solved = solve(fold.links[:-1], root, lambda shape: shape[0] == batch and prod(shape[1:]) == row)
    return solved[0] if solved is not None else ()


def _asked_rows(node: Node, evidence: Evidence) -> int | None:
    """Return the first size the user asked for: -1 if it was to be computed, None if that is not known."""
    target = node.attributes.get("target")
    if isinstance(target, list | tuple) and target and isinstance(target[0], int):
        if target[0] == -1 or -1 in target:
            return target[0]
        text = evidence.source.line(node.site).replace(" ", "")
        return -1 if any(start in text for start in ("(-1,", "[-1,", "shape=(-1", "shape=[-1")) else target[0]
    return None


def _moved(before: Sizes, after: Sizes) -> bool:
    """Whether it is clear that some sizes have changed places: all are different, or of many axes most are."""
    sizes = [size for size in before if size != 1]
    told = len(set(sizes)) == len(sizes) or (len(sizes) > 3 and len(set(sizes)) > 2 and before[0] == after[0])
    return told and sizes != [size for size in after if size != 1]


def _ends(shape: Sizes) -> set[int]:
    """Products of the trailing dimensions: the places where a reshape can cut without cutting a dimension."""
    return {prod(shape[i:]) for i in range(1, len(shape) + 1)}


def _keeps_tail(before: Sizes, after: Sizes) -> bool:
    """Whether the second dimension was cut into groups and what lies behind it stayed whole."""
    return len(after) > 2 and len(before) > 2 and after[2:] == before[2:]
