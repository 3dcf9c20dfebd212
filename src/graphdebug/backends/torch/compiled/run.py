"""Running a captured graph while it is recorded, where its backend runs it op by op."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from graphdebug.backends.debugger import BdbQuit
from graphdebug.backends.torch.breakpoints import Breakpoints
from graphdebug.backends.torch.compiled.call import GraphCall
from graphdebug.backends.torch.compiled.graph import GraphTable
from graphdebug.backends.torch.compiled.region import Region
from graphdebug.backends.torch.compiled.whole import WholeNumbers
from graphdebug.backends.torch.nodes.facts import Look, kind_of
from graphdebug.backends.torch.nodes.looking import looker, measurer

__all__ = ["GraphRun", "InterpretedRun", "Interpreter"]


class GraphRun:
    """A compiled graph that is recorded when it runs; its results are those of the graph alone.

    Args:
        region: what this graph was captured from.
        table: the graph.
        plain: the graph as the user's backend compiled it.

    """

    _boxed_call = True
    """The caller gives its inputs up in a list, so that each is freed after its last use."""

    def __init__(self, region: Region, table: GraphTable, plain: Callable[..., Any]) -> None:
        self._region = region
        self._table = table
        self._plain = plain
        self._look = looker(region.recorder.options.level)
        self._measure = measurer(region.recorder.options.level)
        self._whole = WholeNumbers(table)
        self._breakpoints: Breakpoints | None = region.recorder.breakpoints

    def __call__(self, arguments: list[Any]) -> Any:
        """Run the graph on inputs that are given up."""
        recorder = self._region.recorder
        call: GraphCall | None = None
        with recorder.muted():
            if self._region.recording:
                try:
                    call = self._region.begin(self._table, arguments, sys._getframe(1))
                    self._measure_inputs(call, arguments)
                except Exception as error:
                    recorder.sink.tool_error("recording a compiled graph", error)
            return self._run_plain(arguments) if call is None else self._run(call, arguments)

    def _measure_inputs(self, call: GraphCall, arguments: Sequence[Any]) -> None:
        """Look at the inputs that are calculated with, and may leave the range of whole numbers."""
        for index in self._whole.inputs if self._measure is not None else ():
            trace = call.inputs[index]
            if trace is not None and (trace[5] is None or trace[5] is True):
                call.inputs[index] = (*trace[:5], self._measured(arguments[index]), trace[6])

    def _measured(self, value: torch.Tensor) -> Look:
        with torch._C._DisableTorchDispatch():
            return None if self._measure is None else self._measure(value, kind_of(value))

    def _run(self, call: GraphCall, arguments: list[Any]) -> Any:
        raise NotImplementedError

    def _run_plain(self, arguments: list[Any]) -> Any:
        if getattr(self._plain, "_boxed_call", False):
            return self._plain(arguments)
        values = list(arguments)
        arguments.clear()
        return self._plain(*values)

    def _finish(self, call: GraphCall, do: Callable[[], None]) -> None:
        """The graph has run: note what it left, and write its nodes."""
        try:
            self._guarded(do)
        finally:
            self._guarded(lambda: self._region.emit(call))

    def _guarded(self, see: Callable[[], None]) -> None:
        """Look at something while the graph runs. If that fails, the user's program goes on."""
        try:
            see()
        except BdbQuit:
            raise
        except Exception as error:
            self._region.recorder.sink.tool_error("recording a compiled graph", error)

    @property
    def _watched(self) -> bool:
        """Whether anybody is to see the values."""
        return self._look is not None or self._breakpoints is not None

    def _ask(self, call: GraphCall, index: int, value: torch.Tensor) -> None:
        """Show an output of a step to the breakpoints, while it is at hand."""
        if self._breakpoints is not None:
            self._breakpoints.ask(lambda: call.node(index), value, born=self._is_born(index))

    def _is_born(self, index: int) -> bool:
        """Whether a step makes elements: no view, and no memory that others are to fill."""
        op = self._table.steps[index].op
        return not (op.views or op.unborn)

    def _looked(self, value: Any) -> Look:
        if self._look is None or not isinstance(value, torch.Tensor):
            return None
        with torch._C._DisableTorchDispatch():
            return self._look(value, kind_of(value))


class InterpretedRun(GraphRun):
    """A graph whose backend runs it op by op (``aot_eager``): so do we, looking at each output."""

    def __init__(self, region: Region, table: GraphTable, plain: Callable[..., Any]) -> None:
        super().__init__(region, table, plain)
        self._interpreter = Interpreter(table.graph)
        self._interpreter.extra_traceback = False
        self._index = {step.name: i for i, step in enumerate(table.steps)}

    def _run(self, call: GraphCall, arguments: list[Any]) -> Any:
        written = {i: arguments[i] for i in self._table.mutated}
        interpreter = copy.copy(self._interpreter)
        interpreter.watch = lambda node, value: self._guarded(lambda: self._saw(call, node, value))
        try:
            outputs = interpreter.boxed_run(arguments)
        except BdbQuit:
            self._finish(call, lambda: None)
            raise
        except Exception as error:
            call.keys += [step.keys or () for step in self._table.steps[len(call.keys) :]]
            call.executions.append("raised")
            self._region.raised = repr(error), call
            self._finish(call, lambda: None)
            raise
        self._finish(call, lambda: self._end(call, written, outputs))
        return outputs

    def _saw(self, call: GraphCall, node: fx.Node, value: Any) -> None:
        index = self._index.get(node.name)
        if index is None:
            return
        inside = self._table.steps[index].inside
        value = value if inside is None else value[inside]
        values = value if isinstance(value, list | tuple) else (value,)
        tensors = [one for one in values if isinstance(one, torch.Tensor)]
        call.keys.append(tuple(map(kind_of, tensors)))
        call.executions.append("executed")
        for output, tensor in enumerate(tensors):
            if (index, output) in self._whole.outputs:
                call.looks[index, output] = self._measured(tensor)
            elif self._is_born(index):
                call.looks[index, output] = self._looked(tensor)
        for tensor in tensors:
            self._ask(call, index, tensor)

    def _end(self, call: GraphCall, written: dict[int, Any], outputs: Any) -> None:
        self._region.wrote(call, written)
        self._region.ended(call, outputs)


class Interpreter(fx.Interpreter):  # type: ignore[misc]  # torch is not followed by mypy
    """Runs a graph as its generated code would, and shows each value."""

    watch: Callable[[fx.Node, Any], None]

    def run_node(self, n: fx.Node) -> Any:
        """Run one node, and show what it gave."""
        value = super().run_node(n)
        if n.op == "call_function":
            self.watch(n, value)
        return value
