"""One run of a captured graph: what was seen of it, turned into Node events away from the running program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from graphdebug.backends.torch.compiled.graph import GraphTable, Place, Step
from graphdebug.backends.torch.nodes.attributes import Call, attributes_of, function_of
from graphdebug.backends.torch.nodes.facts import Kind, Look, Measured, fact_of
from graphdebug.backends.torch.nodes.origins import Trace, trace_of
from graphdebug.backends.torch.nodes.records import operand_of
from graphdebug.model.event import Node, Phase, Site, Stats

__all__ = ["Execution", "GraphCall"]

Execution = Literal["executed", "inferred", "fused", "removed", "raised"]


class GraphCall:
    """What was seen while a graph ran. Holds facts, and no tensors once it has run.

    Args:
        table: the graph.
        seqs: a number for each step, taken when the graph began to run.
        step: the training step.
        phase: the phase of steps that are not a second computation.
        runs_at: the user's frames that ran the graph, innermost first.
        prefix: path of the module that was compiled.
        inputs: origins of the graph's inputs.

    """

    def __init__(
        self,
        table: GraphTable,
        seqs: Sequence[int],
        step: int,
        phase: Phase,
        runs_at: Sequence[Site],
        prefix: str,
        inputs: list[Trace | None],
    ) -> None:
        self.table = table
        self.seqs = seqs
        self.step = step
        self.phase = phase
        self.runs_at = runs_at
        self.prefix = prefix
        self.inputs = inputs
        self.forward: GraphCall | None = None
        self.keys: list[tuple[Kind, ...]] = []
        self.looks: dict[tuple[int, int], Look] = {}
        """What looking at the outputs gave: (step, output) -> look."""
        self.executions: list[Execution] = []
        self.bad: dict[int, torch.Tensor] = {}
        """Where a breakpoint waits for them: values that are not finite, by step, until the graph has run."""
        self.unchecked = ""
        """Why the outputs that nobody looked at were not looked at."""
        self.began = 0.0
        self.thread = 0

    def trace(self, place: Place) -> Trace | None:
        """Return what is known of the value that comes from `place`."""
        kind, index, output = place
        if kind == "input":
            return self.inputs[index] if index < len(self.inputs) else None
        keys = self.keys[index]
        if output >= len(keys):
            return None
        return trace_of(keys[output], self.seqs[index], output, self._look(index, output, keys[output]))

    def _look(self, index: int, output: int, key: Kind) -> Look:
        """What looking at an output gave; what holds for all of a view's base holds for the view."""
        step = self.table.steps[index]
        look = self.looks.get((index, output))
        if look is None and step.op.views and not step.op.reinterprets and step.inputs:
            source = self.trace(step.inputs[0][1])
            if source is not None and (source[5] is True or source[4].numel == key.numel):
                look = source[5]
        return look

    def nodes(self) -> list[Node]:
        """Return the nodes of this run, those that did not get to run left out."""
        return [self.node(index) for index in range(min(len(self.table.steps), len(self.executions)))]

    def node(self, index: int) -> Node:
        """Return the node of one step."""
        step = self.table.steps[index]
        op = step.op
        traces = [(argument, self.trace(place)) for argument, place in step.inputs]
        known = [(argument, trace) for argument, trace in traces if trace is not None]
        if op.casts and self.keys[index] and self.keys[index][0].whole:
            known = [(argument, _shown(trace)) for argument, trace in known]
        call = Call(op, op.defaults | step.values, [trace[4].shape for _, trace in known])
        execution = self.executions[index]
        own = tuple((self.forward or self).runs_at)  # of a library's code: where it was called
        if step.site is not None:
            own = (step.site, *step.callers, *self.runs_at)
        return Node(
            self.seqs[index],
            self.step,
            op.name,
            function_of(call),
            op.family,
            "torch",
            "compiled",
            "recompute" if step.again else self.phase,
            step.name,
            ".".join(filter(None, (self.prefix, step.module))),
            op.overload,
            own[0] if own else None,
            self.runs_at[0] if self.runs_at else None,
            own[1:],
            tuple([operand_of(op, argument, trace) for argument, trace in known]),
            tuple([self._fact(index, output, key) for output, key in enumerate(self.keys[index])]),
            self._forward_seq(step),
            tuple([i for i, (argument, _) in enumerate(known) if argument in op.writes]),
            attributes_of(call),
            execution,
            self.began,
            0.0,
            "",
            self.thread,
        )

    def _fact(self, index: int, output: int, key: Kind) -> Any:
        step = self.table.steps[index]
        alias = None
        if step.op.views and step.inputs:
            source = self.trace(step.inputs[0][1])
            alias = source[2] if source is not None else None
        look = self._look(index, output, key)
        if look is None and self.unchecked and not step.op.views and key.inexact:
            look = self.unchecked
        return fact_of(key, look, alias)

    def _forward_seq(self, step: Step) -> int | None:
        if self.forward is None:
            return None
        table = self.forward.table
        place = table.places.get(step.name) if step.again else None
        index = place[1] if place is not None and place[0] == "step" else table.first_of(step.number)
        return None if index is None or index >= len(self.forward.seqs) else self.forward.seqs[index]


def _shown(trace: Trace) -> Trace:
    """Return the trace of what becomes whole numbers: its statistics are shown."""
    look = trace[5]
    return (*trace[:5], Measured(look), trace[6]) if isinstance(look, Stats) else trace
