"""Graph: the nodes of one step and what flows between them, with the path from the input to the culprit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from graphdebug.model.event import Failure, Node, Number, Operand
from graphdebug.model.run import Run
from graphdebug.view.page import focus
from graphdebug.view.path import data_path
from graphdebug.view.rows import gradients_by_node, worst
from graphdebug.view.tree import parts
from graphdebug.view.words import clean, health, shape_text, shapes_text, site_text

__all__ = ["Graph", "GraphNode", "step_graph"]

_MOST = 2000
"""Nodes in a picture; of a larger step those before and around the culprit are kept."""


class GraphNode(msgspec.Struct, frozen=True):
    """A box of the picture: a node, a failing call, or a tensor that came from outside."""

    id: str
    label: str
    kind: str
    """``node``, ``failure``, ``feed``, ``argument``, ``variable`` ..."""
    modules: tuple[str, ...]
    shape: str
    health: str
    gradient: Number | None
    line: str
    seq: int | None
    on_path: bool


class Graph(msgspec.Struct, frozen=True):
    """The picture of one step."""

    step: int
    nodes: tuple[GraphNode, ...]
    edges: tuple[tuple[str, str, str], ...]
    """From, to, and the shape that flows."""
    said: str
    """What was left out; empty if nothing was."""


def step_graph(run: Run, step: int) -> Graph:
    """Return the forward graph of `step` (all phases where there is no forward), with its failure."""
    every = list(run.step(step).nodes)
    nodes = [one for one in every if one.phase in ("forward", "build")] or every
    failure = next((one for one in reversed(run.failures) if one.step == step), None)
    culprit = _culprit(run, nodes, failure)
    kept, said = _kept(nodes, culprit)
    path = _path(run, culprit)
    norms = _gradient_norms(run, kept)
    boxes = [_box(node, norms.get(node.seq), on_path=node.seq in path) for node in kept]
    if failure is not None and failure.node is None:
        boxes.append(_failure_box(failure))
    taking: list[tuple[int, Sequence[Operand]]] = [(node.seq, node.inputs) for node in kept]
    if failure is not None:
        taking.append((failure.node if failure.node is not None else failure.seq, failure.operands))
    known = {box.id for box in boxes}
    outside: dict[str, GraphNode] = {}
    edges = tuple(dict.fromkeys(_edges(taking, known, outside, path)))
    return Graph(step, (*outside.values(), *boxes), edges, said)


def _culprit(run: Run, nodes: Sequence[Node], failure: Failure | None) -> Node | Failure | None:
    """Where the path ends: the failing call, else the forward node that the finding rests on."""
    if failure is not None:
        return failure
    seqs = {node.seq for node in nodes}
    seq = focus(run)
    while seq is not None and seq not in seqs:
        node = run.node(seq)
        seq = node.forward if node is not None else None
    return run.node(seq)


def _kept(nodes: list[Node], culprit: Node | Failure | None) -> tuple[list[Node], str]:
    if len(nodes) <= _MOST:
        return nodes, ""
    at = len(nodes)
    if culprit is not None:
        at = next((index for index, node in enumerate(nodes) if node.seq >= culprit.seq), len(nodes))
    start = max(0, min(at - _MOST * 3 // 4, len(nodes) - _MOST))
    return nodes[start : start + _MOST], f"{_MOST:,} of {len(nodes):,} nodes are drawn, from number {start} on"


def _path(run: Run, culprit: Node | Failure | None) -> set[int]:
    """The culprit and the producers of its data, back to the input."""
    if culprit is None:
        return set()
    operands = culprit.operands if isinstance(culprit, Failure) else culprit.inputs
    path = {culprit.seq, *(node.seq for node in data_path(run, operands, culprit.step))}
    if isinstance(culprit, Failure) and culprit.node is not None:
        path.add(culprit.node)
    return path


def _gradient_norms(run: Run, nodes: Iterable[Node]) -> dict[int, Number]:
    found: dict[int, Number] = {}
    for seq, fact in gradients_by_node(run, nodes).items():
        if fact.finite is False:
            found[seq] = "NaN"
        elif fact.stats is not None and fact.stats.l2 is not None:
            found[seq] = fact.stats.l2
    return found


def _box(node: Node, gradient: Number | None, *, on_path: bool) -> GraphNode:
    fact = worst(node.outputs)
    return GraphNode(
        id=str(node.seq),
        label=clean(node.function or node.op),
        kind="failure" if node.execution == "raised" else "node",
        modules=tuple(clean(part) for part in parts(node)),
        shape=shapes_text(node.outputs),
        health=health(fact) if fact else "",
        gradient=gradient,
        line=site_text(node.site),
        seq=node.seq,
        on_path=on_path,
    )


def _failure_box(failure: Failure) -> GraphNode:
    return GraphNode(
        id=str(failure.seq),
        label=clean(failure.function or failure.op or failure.error),
        kind="failure",
        modules=tuple(clean(part) for part in failure.module.split(".") if part),
        shape="raised " + clean(failure.error),
        health="raised",
        gradient=None,
        line=site_text(failure.site),
        seq=failure.seq,
        on_path=True,
    )


def _edges(
    taking: Iterable[tuple[int, Sequence[Operand]]],
    known: set[str],
    outside: dict[str, GraphNode],
    path: set[int],
) -> Iterator[tuple[str, str, str]]:
    for seq, operands in taking:
        for operand in operands:
            if str(operand.producer) in known:
                source = str(operand.producer)
            elif operand.origin in ("parameter", "buffer", "constant"):
                continue
            else:
                source = _from_outside(operand, outside, on_path=seq in path)
            yield source, str(seq), shape_text(operand.fact.shape)


def _from_outside(operand: Operand, outside: dict[str, GraphNode], *, on_path: bool) -> str:
    name = operand.name or (
        f"#{operand.producer}" if operand.producer is not None else operand.role or operand.origin
    )
    shape = shape_text(operand.fact.shape)
    key = f"{operand.origin}:{name}:{shape}"
    known = outside.get(key)
    if known is None or (on_path and not known.on_path):
        outside[key] = GraphNode(
            key, clean(name), operand.origin, (), shape, health(operand.fact), None, "", None, on_path
        )
    return key
