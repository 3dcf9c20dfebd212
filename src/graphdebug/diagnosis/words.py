"""Words: shapes, products, places and counts as the reports spell them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from math import prod

from graphdebug.model.event import Node, Operand, Shape, Site, TensorFact

__all__ = [
    "arithmetic", "label", "listing", "node_name", "place", "shape_words", "shorten", "telling",
]  # fmt: skip

_FRAME = re.compile(r'\s*File ".*", line \d+, in .*')
_FURNITURE = re.compile(
    rf"(?:Graph execution error:|in user code:|Detected at node\b.*|{_FRAME.pattern}|Node: '.*'|\s*\[\[.*)?$"
)
"""Lines of a message that say where it was raised, not why: headings, frames, nodes."""


def shape_words(shape: Sequence[int | None] | None) -> str:
    """Return a shape as ``8x3x28x28``; ``?`` is an unknown size, ``scalar`` has no dimensions."""
    if shape is None:
        return "unknown shape"
    if not shape:
        return "scalar"
    if len(shape) == 1:
        return f"({'?' if shape[0] is None else shape[0]},)"
    return "x".join("?" if size is None else str(size) for size in shape)


def place(site: Site | None) -> str:
    """Return a site as ``net.py:31``."""
    if site is None or not site.file:
        return "an unknown line"
    return f"{os.path.basename(site.file)}:{site.line}"


def arithmetic(total: int, factors: Sequence[int | None]) -> str:
    """Return ``3136 = 64x7x7`` where `factors` (two or more) multiply to `total`, else the number alone."""
    known = [size for size in factors if size is not None]
    if len(known) == len(factors) > 1 and prod(known) == total and total not in known:
        return f"{total} = {shape_words(known)}"
    return str(total)


def node_name(node: Node) -> str:
    """Return what the user calls a node: its module path, or the op's word, or its name in the graph."""
    if node.module and node.family in ("conv", "linear", "norm", "pool", "dropout"):
        numbered = node.module.rpartition(".")[2].isdigit()  # an element of a sequence
        return f"{node.function} {node.module}" if numbered else node.module
    return node.function or node.op


def label(operand: Operand) -> str:
    """Return where an operand came from, in words: ``parameter fc.weight``, ``feed x:0``."""
    word = "tensor" if operand.origin == "unknown" else operand.origin
    return f"{word} {operand.name}" if operand.name else word


def listing(items: Iterable[str], last: str = "and") -> str:
    """Return ``a, b and c``."""
    words = list(items)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def shorten(text: str, width: int = 150) -> str:
    """Return one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."


def telling(message: str, count: int = 2) -> list[str]:
    """Return the first lines of an error's message that say what was wrong."""
    lines = [line for line in message.splitlines() if line.strip()]
    quoted = {at + 1 for at, line in enumerate(lines) if _FRAME.match(line)}  # the line of code of a frame
    said = [line for at, line in enumerate(lines) if at not in quoted and not _FURNITURE.match(line)]
    traced = next((at for at, line in enumerate(said) if line.endswith("(most recent call last):")), None)
    if traced is not None:  # a traceback of elsewhere ends with what was raised there
        said = [*said[:traced][: count - 1], said[-1]]
    return [shorten(line) for line in (said or lines)[:count]]


def fact_words(fact: TensorFact) -> str:
    """Return ``8x10 float32``."""
    return f"{shape_words(fact.shape)} {fact.dtype}".strip()


def same_shape(one: Shape | None, other: Shape | None) -> bool:
    """Whether two shapes can be the same, unknown sizes matching anything."""
    if one is None or other is None:
        return True
    return len(one) == len(other) and all(
        a is None or b is None or a == b for a, b in zip(one, other, strict=True)
    )
