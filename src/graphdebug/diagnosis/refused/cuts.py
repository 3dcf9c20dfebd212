"""Cuts: where what was computed of weights loses its history on the way to a loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.account import Account, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.geometry import Link
from graphdebug.model.event import Node, Operand

__all__ = ["CUTS", "KEEP", "cut", "is_whole"]

CUTS = (
    "detach", "stop_gradient", "argmax", "argmin", "item", "constant", "round", "sign", "floor", "ceil", "rint",
)  # fmt: skip
"""Functions whose results have no history."""
KEEP = ["keep the loss a tensor: no .item(), .data, numpy or argmax between parameters and loss"]
_MOST_WALKED = 5000


def cut(evidence: Evidence, loss: Operand, links: Sequence[Link]) -> Account | None:
    """The node behind the weights that has no gradient, or of which whole numbers were taken: with several on
    one way the first, for what comes after it had none to lose. Where no weight is known: the last on the way.
    """
    cutting = _broken(evidence, loss)
    if cutting is None:
        return None
    if not cutting:
        taken = zip(reversed([node for node, _ in links]), _taken(links), strict=False)
        cutting = [node for node, output in taken if node.function in CUTS or is_whole(node, output)]
    if not cutting:
        return None
    node = cutting[0]
    lines = made_by(node, f"the {node.function} cuts the graph")
    integer = node.function not in CUTS
    whole = f"the whole numbers that {node.function} gives have" if integer else f"{node.function} has"
    return Account(lines, [f"{whole} no gradient"], KEEP)


def is_whole(node: Node, output: int = 0) -> bool:
    """Whether an output of a node is of whole numbers, or of truth values."""
    return output < len(node.outputs) and node.outputs[output].dtype.startswith(("int", "uint", "bool"))


def _broken(evidence: Evidence, loss: Operand) -> list[Node] | None:
    """Return the nodes before `loss` at which what was computed of weights has no gradient any more, the last
    first; empty where no weight leads there at all, None where one does without such a node.
    """
    waiting, ways = [loss.producer], dict[int, Node]()
    while waiting and len(ways) < _MOST_WALKED:
        node = evidence.provenance.node(waiting.pop())
        if node is None or node.seq in ways or node.phase not in ("forward", "build"):
            continue
        ways[node.seq] = node
        waiting += [one.producer for one in node.inputs]
    live, cutting = set[tuple[int, int]](), list[Node]()
    for seq in sorted(ways):
        node = ways[seq]
        taken = any(
            (one.producer, one.output) in live
            or (one.origin in ("parameter", "variable") and "float" in one.fact.dtype + node.outputs[0].dtype)
            for one in node.inputs
        ) if node.outputs else False  # fmt: skip
        if not taken:
            continue
        passing = (
            [] if node.function in CUTS else [i for i in range(len(node.outputs)) if not is_whole(node, i)]
        )
        live.update((seq, output) for output in passing)
        if len(passing) < len(node.outputs):
            cutting.insert(0, node)
    if (loss.producer, loss.output) in live:
        return None
    return cutting


def _taken(links: Sequence[Link]) -> Iterator[int]:
    """Yield which output was taken of each node, the last first: a maximum gives values and places."""
    yield 0
    yield from (node.inputs[through].output for node, through in reversed(links))
