"""Changes: what each layer on a way made of its input, and what it would make with one word of its declaration
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from graphdebug.diagnosis.shapes.geometry import Link, Sizes, window
from graphdebug.model.event import Declaration, Node

__all__ = ["WINDOWS", "Change", "Stage", "changes", "fixed"]

WINDOWS = ("conv", "pool")
"""Families that go over an image, or a sequence, in windows."""
_COMPUTED = ("linear", "matmul", "conv", "attention", "rnn")
"""Families whose results have their sizes by what they compute: nobody asked for them in so many words."""
_REPEATS = ("tile", "repeat", "repeat_interleave")
_CUTS = ("pad", "index", "split")
_FURTHEST_CUT = 16
"""Rows that a padding or cropping is tried with, more or less."""
_STRIDES = (1, 2)
_FACTORS = (1, 2, 3, 4)

Function = Callable[[Sizes], Sizes | None]


@dataclass(frozen=True, slots=True)
class Stage:
    """What one layer, or one node without a layer, made of its input."""

    links: tuple[Link, ...]
    declared: Declaration | None
    before: Sizes
    after: Sizes

    def line(self) -> tuple[str, int] | None:
        """The line of the declaration, of a node without one its own."""
        site = self.declared.site if self.declared is not None else self.links[0][0].site
        return (site.file, site.line) if site is not None else None

    @property
    def window(self) -> Node | None:
        """The convolution or pooling in it, a transposed one as such."""
        return next((_as_window(node) for node, _ in self.links if node.family in WINDOWS), None)

    def repeats(self) -> bool:
        """Whether it makes each row several times."""
        return any(node.family == "upsample" or node.function in _REPEATS for node, _ in self.links)

    def _told(self) -> bool:
        """Whether it was told the size that it makes."""
        return any(node.attributes.get("output_size") is not None for node, _ in self.links)

    def cuts(self) -> bool:
        """Whether it adds or takes rows at the ends."""
        return self.window is None and any(node.family in _CUTS for node, _ in self.links)

    def made(self, shape: Sizes, node: Node | None = None) -> Sizes | None:
        """Return what it makes of `shape`; with `node` in the place of its own window."""
        node = node or self.window
        if len(shape) != len(self.before) or len(self.before) != len(self.after):
            return self.after if shape == self.before else None
        if node is not None:
            return window(node, shape, self.before, self.after)
        new: list[int] = []
        for size, old, made in zip(shape, self.before, self.after, strict=True):
            if old == made:
                new.append(size)
            elif self.repeats() and made % old == 0 and not self._told():
                new.append(size * made // old)
            else:
                new.append(size + made - old if self.cuts() else made)
        return tuple(new)


@dataclass(frozen=True, slots=True)
class Change:
    """One word of one stage's declaration, changed."""

    stage: Stage
    word: str
    """The argument, in the words of node attributes."""
    value: Any
    made: Function
    votes: int
    """1 where all others of its kind have the new value, -1 where they have the old one, else 0."""


def changes(stage: Stage, stages: Sequence[Stage], wanted: Sizes, axes: Sequence[int]) -> Iterator[Change]:
    """Yield what one word of a stage's declaration can be changed to."""
    node = stage.window
    if len(stage.before) != len(stage.after):
        yield from _of_sizes(stage, wanted, axes)
    elif node is not None:
        yield from _of_window(stage, node, stages)
    elif stage.repeats():
        others = [_factor(one) for one in stages if one is not stage and one.repeats()]
        for factor in _FACTORS:
            if factor != _factor(stage):
                yield Change(
                    stage, "factor", factor, _times(stage, factor), _votes(_factor(stage), factor, others)
                )
    elif stage.cuts() and stage.before != stage.after:
        for rows in range(-_FURTHEST_CUT, _FURTHEST_CUT + 1):
            yield Change(stage, "rows", rows, _by(stage, rows), votes=0)


def _of_sizes(stage: Stage, wanted: Sizes, axes: Sequence[int]) -> Iterator[Change]:
    """Yield other sizes that a reshape could have asked for: those wanted, or any where all sides are alike."""
    if any(node.family in _COMPUTED for node, _ in stage.links):
        return
    tried = [tuple(wanted[i] if i in axes else size for i, size in enumerate(stage.after))]
    if len({wanted[i] for i in axes}) == len({stage.after[i] for i in axes}) == 1:
        sides = range(1, wanted[axes[0]])
        tried += [tuple(n if i in axes else size for i, size in enumerate(stage.after)) for n in sides]
    for sizes in tried:
        yield Change(stage, "size", list(sizes[1:]), lambda _, sizes=sizes: sizes, votes=0)  # type: ignore[misc]


def _of_window(stage: Stage, node: Node, stages: Sequence[Stage]) -> Iterator[Change]:
    words = node.attributes
    others = [
        one.window.attributes for one in stages
        if one is not stage and one.window is not None and one.window.function == node.function
    ]  # fmt: skip
    padding, stride = words.get("padding"), words.get("stride")
    tried: list[tuple[str, Any]] = []
    if padding in ("same", "valid"):
        tried.append(("padding", "valid" if padding == "same" else "same"))
    elif isinstance(stride, list | tuple):
        tried += [("padding", [size] * len(stride)) for size in range(4)]
    if isinstance(stride, list | tuple):
        tried += [("stride", [step] * len(stride)) for step in _STRIDES]
        tried += [("stride", one["stride"]) for one in others if one.get("stride") is not None]
    tried += [("kernel", one["kernel"]) for one in others if one.get("kernel") is not None]
    told: list[tuple[str, Any]] = []
    for word, value in tried:
        if fixed(value) == fixed(words.get(word)) or (word, value) in told:
            continue
        told.append((word, value))
        votes = _votes(fixed(words.get(word)), fixed(value), [fixed(one.get(word)) for one in others])
        changed = msgspec.structs.replace(node, attributes={**words, word: value})
        yield Change(stage, word, value, _through(stage, changed), votes)


def fixed(value: object) -> object:
    """Return a word's value as something to compare: lists as tuples."""
    return tuple(fixed(one) for one in value) if isinstance(value, list | tuple) else value


def _votes(own: object, new: object, others: Sequence[object]) -> int:
    """Return what the others of its kind say to a change; one alone can't outvote."""
    if others and set(others) == {new}:
        return 1
    return -1 if len(others) > 1 and set(others) == {own} else 0


def _through(stage: Stage, node: Node) -> Function:
    return lambda shape: stage.made(shape, node)


def _times(stage: Stage, factor: int) -> Function:
    def made(shape: Sizes) -> Sizes:
        pairs = zip(shape, stage.before, stage.after, strict=True)
        return tuple(size if old == made else size * factor for size, old, made in pairs)

    return made


def _by(stage: Stage, rows: int) -> Function:
    def made(shape: Sizes) -> Sizes:
        pairs = zip(shape, stage.before, stage.after, strict=True)
        return tuple(size if old == made else size + rows for size, old, made in pairs)

    return made


def _factor(stage: Stage) -> int:
    return max(made // old for old, made in zip(stage.before, stage.after, strict=True) if old)


def _as_window(node: Node) -> Node:
    """Return a transposed convolution that is recorded as the backward of one, as what it is here."""
    if node.phase != "forward" or not node.function.endswith("_backward"):
        return node
    weight = next((one.fact.shape for one in node.inputs if one.role == "weight"), None)
    words = {**node.attributes, "transposed": True, "kernel": list((weight or ())[:-2])}
    return msgspec.structs.replace(
        node, function=node.function.replace("_backward", "_transpose"), attributes=words
    )
