"""Alignment: which node of one run is which of another, by module path, line and op, never by index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import takewhile
from pathlib import PurePath

from graphdebug.model.event import Node
from graphdebug.model.run import Run

__all__ = ["Pair", "align", "paired_steps"]

Pair = tuple[Node | None, Node | None]
"""A node of each run; None where the other run has no such node."""

_Key = Callable[[Node], Hashable]

_LOOKAHEAD = 4
"""So many steps of the second run are tried for a step of the first: a TF1 session counts its init as one."""
_PLUMBING = ("detach", "alias", "identity", "constant", "empty", "new_empty")
"""Functions that a mode or version has more or fewer of without computing anything else."""
_CORE = ("conv", "pool", "linear", "matmul", "reshape", "cat", "softmax", "loss", "norm", "upsample", "dropout")
_SIMILAR = 0.4
"""Two steps are of one kind if they share this part of their ops."""


def paired_steps(a: Run, b: Run) -> Iterator[tuple[int, int]]:
    """Yield the steps of `a` and `b` that run the same kind of ops, in order."""
    steps, place = list(b.steps), 0
    for step in a.steps:
        own = _signature(a.step(step).nodes)
        for at in range(place, min(place + _LOOKAHEAD, len(steps))):
            if _similarity(own, _signature(b.step(steps[at]).nodes)) >= _SIMILAR:
                yield step, steps[at]
                place = at + 1
                break


def align(a: Sequence[Node], b: Sequence[Node]) -> list[Pair]:
    """Return the nodes of one step of two runs side by side, in order.

    Nodes are matched where module, line and op agree; what is left between two matches is matched by module
    and op (the file was edited), then by op alone (another framework names modules otherwise). Nodes that
    compute nothing (a detached view, an empty tensor) are left out.
    """
    return list(_align([n for n in a if _computes(n)], [n for n in b if _computes(n)], _KEYS))


def _computes(node: Node) -> bool:
    return node.function not in _PLUMBING and node.family not in ("control", "check")


def _align(a: Sequence[Node], b: Sequence[Node], keys: Sequence[_Key]) -> Iterator[Pair]:
    if not a or not b or not keys:
        yield from ((node, None) for node in a)
        yield from ((None, node) for node in b)
        return
    key, rest = keys[0], keys[1:]
    of_a, of_b = [key(node) for node in a], [key(node) for node in b]
    head = _shared(zip(of_a, of_b, strict=False))  # runs mostly agree: the matcher is slow on long repetitions
    yield from zip(a[:head], b[:head], strict=True)
    matcher = SequenceMatcher(None, of_a[head:], of_b[head:], autojunk=False)
    at_a = at_b = head
    for start_a, start_b, size in matcher.get_matching_blocks():
        yield from _align(a[at_a : head + start_a], b[at_b : head + start_b], rest)
        at_a, at_b = head + start_a + size, head + start_b + size
        yield from zip(a[at_a - size : at_a], b[at_b - size : at_b], strict=True)


def _shared(pairs: Iterable[tuple[Hashable, Hashable]]) -> int:
    """Return how many pairs are equal before the first that is not."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _whole(node: Node) -> Hashable:
    place = (PurePath(node.site.file).name, node.site.line) if node.site is not None else None
    return node.phase, node.module, place, node.function


def _without_line(node: Node) -> Hashable:
    return node.phase, node.module, node.function


def _op_alone(node: Node) -> Hashable:
    return node.phase, node.function


def _family(node: Node) -> Hashable:
    return node.phase, _kind(node) if node.family in _CORE else node.function


_KEYS: tuple[_Key, ...] = (_whole, _without_line, _op_alone, _family)


def _signature(nodes: Sequence[Node]) -> Counter[str]:
    """Count the ops that make a step what it is; frameworks differ in views, constants and biases."""
    core = Counter(_kind(node) for node in nodes if node.phase == "forward" and node.family in _CORE)
    return Counter[str](core) or Counter(node.function for node in nodes)


def _kind(node: Node) -> str:
    """Return the family; a linear layer and a matrix product are one, whatever a framework makes of it."""
    return "matmul" if node.family == "linear" else node.family


def _similarity(a: Counter[str], b: Counter[str]) -> float:
    every = (a | b).total()
    return (a & b).total() / every if every else 0.0
