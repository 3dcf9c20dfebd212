"""NodeRow: one node as a row of plain text and numbers, the unit of every table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from graphdebug.model.event import Gradient, Node, Number, TensorFact
from graphdebug.model.run import Run
from graphdebug.view.words import clean, health, number_text, shapes_text, site_text

__all__ = ["NodeRow", "gradients_by_node", "node_row", "node_rows", "worst"]


class NodeRow(msgspec.Struct, frozen=True, gc=False):
    """One executed node. Statistics are those of the output that matters most: a bad one, else the first."""

    seq: int
    step: int
    phase: str
    op: str
    function: str
    module: str
    line: str
    shapes_in: str
    shapes_out: str
    dtype: str
    health: str
    min: Number | None
    max: Number | None
    mean: Number | None
    std: Number | None
    l2: Number | None
    gradient: str
    """L2 norm of the gradient of its output or parameter, or what is wrong with it."""
    duration: float
    execution: str
    mode: str
    rank: int | None
    """Rank of the distributed job that ran it, if there are ranks."""

    @property
    def sick(self) -> bool:
        """Whether the node has an output that is not finite, or did not finish."""
        healthy = self.health in ("", "ok") or self.health.startswith("unchecked")
        return not healthy or self.execution == "raised"


def node_rows(run: Run, nodes: Sequence[Node]) -> tuple[NodeRow, ...]:
    """Return `nodes` as rows, with the gradients of the steps they ran in."""
    gradients = gradients_by_node(run, nodes)
    return tuple(node_row(node, gradients.get(node.seq), run.rank(node)) for node in nodes)


def node_row(node: Node, gradient: TensorFact | None = None, rank: int | None = None) -> NodeRow:
    """Return one node as a row."""
    fact = worst(node.outputs)
    stats = fact.stats if fact else None
    return NodeRow(
        seq=node.seq,
        step=node.step,
        phase=node.phase,
        op=clean(node.op),
        function=clean(node.function),
        module=clean(node.module or node.name),
        line=site_text(node.site),
        shapes_in=shapes_text([one.fact for one in node.inputs]),
        shapes_out=shapes_text(node.outputs),
        dtype=clean(fact.dtype) if fact else "",
        health=health(fact) if fact else "",
        min=stats.min if stats else None,
        max=stats.max if stats else None,
        mean=stats.mean if stats else None,
        std=stats.std if stats else None,
        l2=stats.l2 if stats else None,
        gradient=_gradient_text(gradient),
        duration=node.duration,
        execution=node.execution,
        mode=clean(node.mode),
        rank=rank,
    )


def worst(facts: Sequence[TensorFact]) -> TensorFact | None:
    """Return the first tensor that is not finite, else the first; None where there is none."""
    return next((fact for fact in facts if fact.finite is False), facts[0] if facts else None)


def gradients_by_node(run: Run, nodes: Iterable[Node]) -> dict[int, TensorFact]:
    """Return the gradient that belongs to each node, by its number; a tensor's before a parameter's."""
    found: dict[int, TensorFact] = {}
    for step in sorted({node.step for node in nodes}):
        for one in run.step(step).gradients:
            if one.node is not None and (one.node not in found or _comes_first(one, found[one.node])):
                found[one.node] = one.fact
    return found


def _comes_first(gradient: Gradient, known: TensorFact) -> bool:
    return known.finite is not False and (not gradient.name or gradient.fact.finite is False)


def _gradient_text(fact: TensorFact | None) -> str:
    if fact is None:
        return ""
    if fact.finite is not False and fact.stats is not None:
        return number_text(fact.stats.l2)
    return health(fact).partition(":")[0]
