"""Whole numbers in a captured graph: what is calculated with, and may leave the range of its type.

A graph that was fused never has these in memory. Where they are made of nothing but inputs and light ops they
are computed once more, beside the run: at first, then at powers of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from graphdebug.backends.torch.compiled.graph import GraphTable, Place, Step

__all__ = ["WholeNumbers"]

_FIRST = 8
"""Runs in which they are computed once more; later in those whose number is a power of two."""
_LIGHT = frozenset({
    "cast", "cat", "copy", "elementwise", "fill", "index", "permute", "reduce", "reshape", "split", "where",
})  # fmt: skip
"""Families of ops that may be computed twice: neither random nor in place, and no products of matrices."""
_MOST = 64
"""Ops that are computed once more at most."""


class WholeNumbers:
    """The tensors of a graph that are to be measured.

    Args:
        table: the graph.

    """

    def __init__(self, table: GraphTable) -> None:
        self._table = table
        places = {place for index in range(len(table.steps)) for place in _places(table, index)}
        self.inputs = {index for kind, index, _ in places if kind == "input"}
        self.outputs = {(index, output) for kind, index, output in places if kind == "step"}
        """Step and output."""
        self._runs = 0
        self._makers: dict[fx.Node, int] | None = None

    def compute(self, arguments: Sequence[Any], see: Callable[[int, int, Any], None]) -> None:
        """Compute what is to be measured from the inputs of a run that is about to begin, and show each."""
        self._runs += 1
        if not self.outputs or (self._runs > _FIRST and self._runs & (self._runs - 1)):
            return
        if self._makers is None:
            self._makers = self._light()
        if not self._makers:
            return
        interpreter = fx.Interpreter(self._table.graph)
        given = iter(arguments)
        with torch.no_grad():
            for node in self._table.graph.graph.nodes:
                if node.op == "placeholder":
                    interpreter.env[node] = next(given)
                elif node in self._makers:
                    interpreter.env[node] = value = interpreter.run_node(node)
                    index = self._makers[node]
                    values = value if isinstance(value, list | tuple) else (value,)
                    for output, one in enumerate(values):
                        if (index, output) in self.outputs:
                            see(index, output, one)

    def _light(self) -> dict[fx.Node, int]:
        """Return the nodes that have to run for all that is light, each with the number of its step (or -1)."""
        index = {step.name: at for at, step in enumerate(self._table.steps)}
        light: dict[fx.Node, set[fx.Node]] = {}
        for node in self._table.graph.graph.nodes:
            step = self._table.steps[index[node.name]] if node.name in index else None
            if node.op == "call_function" and (step is None or _is_light(step)):
                before = [one for one in node.all_input_nodes if one.op != "placeholder"]
                if all(one in light for one in before):
                    light[node] = {node}.union(*(light[one] for one in before))
        wanted: set[fx.Node] = set()
        for node, needed in light.items():
            measured = any(at == index.get(node.name) for at, _ in self.outputs)
            if measured and len(wanted | needed) <= _MOST:
                wanted |= needed
        return {node: index.get(node.name, -1) for node in light if node in wanted}


def _places(table: GraphTable, index: int) -> list[Place]:
    """Return what a step calculates with and gives, of whole numbers; and what becomes such."""
    step = table.steps[index]
    if not step.op.counts or not step.metas:
        return []
    becomes = _is_whole(step.metas[0])
    if step.op.casts and not becomes:
        return []
    found = [place for _, place in step.inputs if step.op.casts or _is_whole(_meta(table, place))]
    return [*found, ("step", index, 0)] if becomes else found


def _meta(table: GraphTable, place: Place) -> Any:
    kind, index, output = place
    metas = table.input_metas[index : index + 1] if kind == "input" else table.steps[index].metas[output:]
    return metas[0] if metas else None


def _is_whole(meta: Any) -> bool:
    dtype = getattr(meta, "dtype", None)
    return isinstance(dtype, torch.dtype) and not (
        dtype.is_floating_point or dtype.is_complex or dtype is torch.bool
    )


def _is_light(step: Step) -> bool:
    return step.op.family in _LIGHT and not step.op.writes and step.inside is None
