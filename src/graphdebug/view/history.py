"""History: the same node in every step: of the same line, op and module, and as often run before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from graphdebug.model.event import Gradient, Node, Number, TensorFact
from graphdebug.model.run import Run
from graphdebug.model.store import TextSearch
from graphdebug.view.rows import worst

__all__ = ["History", "history", "same_in_step"]

_MOST_STEPS = 2000


class History(msgspec.Struct, frozen=True):
    """The same node in every step."""

    steps: tuple[int, ...]
    seqs: tuple[int, ...]
    curves: tuple[tuple[str, tuple[Number | None, ...]], ...]
    """Name and one value a step: l2, mean, min, max of the output, l2 of the gradient."""


def history(run: Run, node: Node) -> History | None:
    """Return the nodes of the same line, op, module and turn in all steps; None if it ran once."""
    turn = _turn(node, [one for one in run.step(node.step).nodes if _is_same(one, node)])
    same: dict[int, list[Node]] = {}
    for one in _candidates(run, node):
        if _is_same(one, node):
            same.setdefault(one.step, []).append(one)
    found = [nodes[turn] for _, nodes in sorted(same.items()) if turn < len(nodes)][:_MOST_STEPS]
    if len(found) < 2:
        return None
    gradients = {one.node: one.fact for one in _gradients_of(run, found)}
    curves = [
        (name, [_stat(worst(one.outputs), name) for one in found]) for name in ("l2", "mean", "min", "max")
    ]
    curves.append(("gradient l2", [_stat(gradients.get(one.seq), "l2") for one in found]))
    return History(
        tuple(one.step for one in found),
        tuple(one.seq for one in found),
        tuple((name, tuple(values)) for name, values in curves if any(one is not None for one in values)),
    )


def _candidates(run: Run, node: Node) -> Iterable[Node]:
    texts = [f'"function":{msgspec.json.encode(node.function).decode()}']
    if node.site is not None:
        texts.append(f'"line":{node.site.line},')
    if node.module:
        texts.append(f'"module":{msgspec.json.encode(node.module).decode()}')
    return run.store.containing(Node, texts) if isinstance(run.store, TextSearch) else run.nodes


def _gradients_of(run: Run, nodes: Sequence[Node]) -> Iterable[Gradient]:
    wanted = {node.seq for node in nodes}
    return (
        one for step in {node.step for node in nodes} for one in run.step(step).gradients if one.node in wanted
    )


def _is_same(one: Node, node: Node) -> bool:
    return (
        one.function == node.function
        and one.phase == node.phase
        and one.module == node.module
        and one.name == node.name
        and (one.site and (one.site.file, one.site.line)) == (node.site and (node.site.file, node.site.line))
    )


def _turn(node: Node, same: Sequence[Node]) -> int:
    return next((at for at, one in enumerate(same) if one.seq == node.seq), 0)


def _stat(fact: TensorFact | None, name: str) -> Number | None:
    if fact is None or fact.stats is None:
        return None
    if fact.finite is False and name in ("l2", "mean"):
        return "NaN"
    value: Number | None = getattr(fact.stats, name)
    return value


def same_in_step(run: Run, node: Node, step: int) -> Node | None:
    """Return the node of `step` with the same line, op, module and turn as `node`, or None."""
    here = [one for one in run.step(node.step).nodes if _is_same(one, node)]
    there = [one for one in run.step(step).nodes if _is_same(one, node)]
    turn = _turn(node, here)
    return there[turn] if turn < len(there) else None
