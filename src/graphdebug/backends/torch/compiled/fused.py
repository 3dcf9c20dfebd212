"""Running a captured graph that its backend fused while it is recorded: whole, and again to find a birth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from graphdebug.backends.debugger import BdbQuit
from graphdebug.backends.torch.breakpoints import Breakpoints
from graphdebug.backends.torch.compiled.buffers import watching_buffers
from graphdebug.backends.torch.compiled.call import Execution, GraphCall
from graphdebug.backends.torch.compiled.graph import GraphTable
from graphdebug.backends.torch.compiled.region import Region
from graphdebug.backends.torch.compiled.run import GraphRun, InterpretedRun, Interpreter
from graphdebug.backends.torch.nodes.facts import Look
from graphdebug.model.event import Stats

__all__ = ["FusedRun"]

_MOST_REPLAYS = 8
_FUSED = "fused: never in memory"


class FusedRun(GraphRun):
    """A graph that its backend fused (inductor): it runs as it is, and what reaches memory is looked at.

    Only when something that reached memory is not finite, while no input was, the captured graph is run
    once more op by op on the same inputs, to find the op among the fused ones that made it.
    """

    def __init__(
        self, region: Region, table: GraphTable, plain: Callable[..., Any], shown: frozenset[str]
    ) -> None:
        super().__init__(region, table, plain)
        in_memory = {place[1] for place in table.outputs if place is not None and place[0] == "step"}
        in_memory |= set(table.mutated.values())
        self._executions: list[Any] = [
            "executed" if step.name in shown or i in in_memory else "inferred" if step.op.views else "fused"
            for i, step in enumerate(table.steps)
        ]
        self.fused = self._executions.count("fused")
        self._replays = 0

    def _run(self, call: GraphCall, arguments: list[Any]) -> Any:
        try:
            held, written = self._prepare(call, arguments)
        except Exception as error:
            self._region.recorder.sink.tool_error("recording a compiled graph", error)
            return self._run_plain(arguments)
        watch = watching_buffers(lambda *one: self._guarded(lambda: self._saw(call, *one)))
        try:
            with watch if self._watched else nullcontext():
                outputs = self._run_plain(arguments)
        except BdbQuit:
            self._finish(call, lambda: None)
            raise
        except Exception as error:
            words = repr(error)
            self._finish(call, lambda: self._find_failing(call, held, words))
            raise
        self._finish(call, lambda: self._end(call, held, written, outputs))
        if self._breakpoints is not None:
            breakpoints = self._breakpoints
            self._guarded(lambda: breakpoints.ask_of_fused(call))
        return outputs

    def _prepare(self, call: GraphCall, arguments: list[Any]) -> tuple[list[Any], dict[int, Any]]:
        """Return the inputs as they are before the graph runs, and those of them that it writes."""
        call.keys = self._table.keys(arguments)
        call.executions = self._executions
        call.unchecked = _FUSED if self._look is not None else ""
        if self._measure is not None:
            self._guarded(lambda: self._whole.compute(arguments, lambda *one: self._count(call, *one)))
        held = [self._held(i, value) for i, value in enumerate(arguments)] if self._watched else []
        return held, {i: arguments[i] for i in self._table.mutated}

    def _count(self, call: GraphCall, index: int, output: int, value: Any) -> None:
        """Note the statistics of whole numbers that were computed beside the run."""
        call.looks[index, output] = self._measured(value)

    def _held(self, index: int, value: Any) -> Any:
        """Return an input as it is before the graph writes it."""
        return value.clone() if index in self._table.mutated and isinstance(value, torch.Tensor) else value

    def _saw(self, call: GraphCall, name: str, value: torch.Tensor) -> None:
        place = self._table.places.get(name)
        if place is not None and place[0] == "step":
            self._see(call, place[1], place[2], value)

    def _see(self, call: GraphCall, index: int, output: int, value: Any) -> None:
        """Look at an output that is in memory, and ask the breakpoints of it: it may soon be overwritten.

        A value that is not finite is kept: a fused node before it may be where that was born.
        """
        measured = isinstance(value, torch.Tensor) and (index, output) in self._whole.outputs
        call.looks[index, output] = self._measured(value) if measured else self._looked(value)
        if self._breakpoints is None:
            return
        if self._breakpoints.of_births:
            _keep_bad(self._breakpoints, call, index, value)
        elif isinstance(value, torch.Tensor):
            self._ask(call, index, value)

    def _end(self, call: GraphCall, held: list[Any], written: dict[int, Any], outputs: Any) -> None:
        for place, value in zip(self._table.outputs, outputs, strict=False):
            if place is not None and place[0] == "step" and (place[1], place[2]) not in call.looks:
                self._see(call, place[1], place[2], value)
        for index, step in self._table.mutated.items():
            self._see(call, step, 0, written[index])
        bad = call.bad or any(map(_is_bad, call.looks.values()))
        if held and bad and self._replays < _MOST_REPLAYS:
            self._replay(call, held)
        self._region.wrote(call, written)
        self._region.ended(call, outputs)

    def _find_failing(self, call: GraphCall, held: list[Any], words: str) -> None:
        """Find the node that raised, by running the graph op by op on the same inputs."""
        call.executions = []
        self._region.raised = None
        try:
            self._interpret(call, held)
        except Exception:
            call.executions = [*_inferred(len(call.executions)), "raised"]
            self._region.raised = words, call
        else:
            call.executions = _inferred(len(self._table.steps))

    def _replay(self, call: GraphCall, held: Sequence[Any]) -> None:
        """Fill in what the fused ops made, by running the graph op by op on the same inputs."""
        if any(_is_bad(self._looked(value)) for value in held):
            return
        self._replays += 1
        if self._replays == 1:
            text = "a fused graph gave a value that is not finite: it was run again op by op on the same inputs"
            self._region.notice("replay", text + _random_words(self._table))
        seen = GraphCall(self._table, call.seqs, call.step, call.phase, (), "", call.inputs)
        self._interpret(seen, held)
        for place, look in seen.looks.items():
            call.looks.setdefault(place, look)
        call.bad = seen.bad | call.bad

    def _interpret(self, call: GraphCall, held: Sequence[Any]) -> None:
        again = _Replay(self._region, self._table, self._plain)
        interpreter = Interpreter(self._table.graph)
        interpreter.watch = lambda node, value: again._saw(call, node, value)
        with torch.random.fork_rng(), torch.no_grad():
            interpreter.boxed_run(list(held))


class _Replay(InterpretedRun):
    """A fused graph run once more: it stops nowhere, but keeps what is not finite for a breakpoint."""

    def _ask(self, call: GraphCall, index: int, value: torch.Tensor) -> None:
        if self._breakpoints is not None and self._breakpoints.of_births and self._is_born(index):
            _keep_bad(self._breakpoints, call, index, value)


def _keep_bad(breakpoints: Breakpoints, call: GraphCall, index: int, value: Any) -> None:
    if breakpoints.is_bad(value):
        call.bad.setdefault(index, value.detach().clone())


def _inferred(count: int) -> list[Execution]:
    return ["inferred"] * count


def _is_bad(look: Look) -> bool:
    return isinstance(look, Stats) and bool(look.nan or look.pos_inf or look.neg_inf)


def _random_words(table: GraphTable) -> str:
    return "; its random numbers (dropout) differ from those of the run" if table.random else ""
