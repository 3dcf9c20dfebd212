"""A compiled graph that is compared, each time it runs, with itself run op by op on the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.utils._pytree import tree_leaves

from graphdebug.backends.torch.comparing.values import Difference, difference_of, reach_of
from graphdebug.backends.torch.compiled.buffers import watching_buffers
from graphdebug.backends.torch.compiled.graph import GraphTable, Step

__all__ = ["ComparedGraph", "Divergence"]


@dataclass(frozen=True)
class Divergence:
    """The first value of a graph that differs."""

    step: Step
    backward: bool
    difference: Difference
    fused: tuple[Step, ...]
    """Steps that it was computed from inside the same kernels: their values were never in memory."""


class ComparedGraph:
    """Runs the compiled graph, then the captured one, and keeps the first value that differs.

    Args:
        table: the captured graph.
        plain: the graph as the backend compiled it.
        rtol: tolerance, or None for that of the dtype.

    """

    _boxed_call = True

    def __init__(self, table: GraphTable, plain: Callable[..., Any], rtol: float | None) -> None:
        self.table = table
        self.first: Divergence | None = None
        self.compared = 0
        self._plain = plain
        self._rtol = rtol

    def __call__(self, arguments: list[Any]) -> Any:
        """Run both; return what the compiled graph gave."""
        held = [_kept(one) for one in arguments]
        state = torch.get_rng_state()
        values: dict[str, torch.Tensor] = {}
        with watching_buffers(lambda name, value: values.update({name: _kept(value)})):
            boxed = getattr(self._plain, "_boxed_call", False)
            outputs = self._plain(arguments) if boxed else self._plain(*arguments)
        results = zip(self._output_names(), outputs, strict=False)
        values |= {name: value for name, value in results if isinstance(value, torch.Tensor)}
        after = torch.get_rng_state()
        torch.set_rng_state(state)
        with torch.no_grad():
            _Against(self, values).boxed_run(held)
        torch.set_rng_state(after)
        return outputs

    def saw(self, node: fx.Node, eager: Any, values: dict[str, torch.Tensor], reach: float) -> None:
        """Compare the value of one node, if the compiled graph left it in memory."""
        compiled = values.get(node.name)
        if compiled is None or not isinstance(eager, torch.Tensor):
            return
        self.compared += 1
        if self.first is not None:
            return
        difference = difference_of(compiled, eager, self._rtol, reach)
        place = self.table.places.get(node.name)
        if difference is not None and place is not None and place[0] == "step":
            steps = tuple(self._unseen(node, values))
            self.first = Divergence(self.table.steps[place[1]], self.table.backward, difference, steps)

    def _output_names(self) -> list[str]:
        output = next(node for node in reversed(self.table.graph.graph.nodes) if node.op == "output")
        return [getattr(one, "name", "") for one in output.args[0]]

    def _unseen(self, node: fx.Node, values: dict[str, torch.Tensor]) -> list[Step]:
        """The steps between `node` and the values before it that were compared and agreed."""
        found: dict[int, Step] = {}
        waiting = list(node.all_input_nodes)
        while waiting:
            one = waiting.pop()
            place = self.table.places.get(one.name)
            if one.name in values or place is None or place[0] != "step" or place[1] in found:
                continue
            found[place[1]] = self.table.steps[place[1]]
            waiting += one.all_input_nodes
        return [found[index] for index in sorted(found) if not found[index].op.views]


class _Against(fx.Interpreter):  # type: ignore[misc]  # torch is not followed by mypy
    def __init__(self, compared: ComparedGraph, values: dict[str, torch.Tensor]) -> None:
        super().__init__(compared.table.graph)
        self._compared = compared
        self._values = values
        self._reaches: dict[fx.Node, float] = {}

    def _reach(self, node: fx.Node, value: Any) -> float:
        """The largest value that a node was computed from; a view was computed from what its base was."""
        place = self._compared.table.places.get(node.name)
        if place is not None and place[0] == "step" and self._compared.table.steps[place[1]].op.views:
            return max([0.0, *(self._reaches.get(one, 0.0) for one in node.all_input_nodes)])
        given = tree_leaves(self.fetch_args_kwargs_from_env(node))
        tensors = [one for one in given if isinstance(one, torch.Tensor)]
        return reach_of(tensors, value.numel() if isinstance(value, torch.Tensor) else 1)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_function":
            self._reaches[n] = self._reach(n, value)
            self._compared.saw(n, value, self._values, self._reaches[n])
        return value


def _kept(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
