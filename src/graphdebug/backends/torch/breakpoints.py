"""Breakpoints on values: the debugger opens at the user's own line, with the tensor that set it off."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from graphdebug.backends.debugger import OFFENDING, open_debugger
from graphdebug.backends.torch.code.stack import is_generated
from graphdebug.backends.torch.compiled.call import GraphCall
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.facts import fact_of, kind_of
from graphdebug.backends.torch.nodes.looking import looker
from graphdebug.backends.torch.nodes.records import Raw
from graphdebug.model.event import Node, Site

__all__ = ["Breakpoints"]

_MOST_PASSED = 100_000
"""Nodes remembered to have given values that are not finite."""


class Breakpoints:
    """Asks `break_on` of the outputs of ops: it watches eager ones, and compiled graphs show it theirs."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._look = looker("health")
        condition = recorder.options.break_on
        self._predicate: Callable[..., bool] | None = condition if callable(condition) else None
        self.of_births = self._predicate is None
        """Whether it is the birth of values that are not finite that is waited for."""
        self._passed: set[int] = set()
        """Nodes whose values are known not to be finite: what is made of them is not born there."""
        if condition is not None and os.environ.get("PYTHONBREAKPOINT") != "0":
            recorder.watchers.append(self._watch)
            recorder.breakpoints = self

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Nothing was installed."""

    def ask(self, node: Callable[[], Node], value: torch.Tensor, *, born: bool) -> None:
        """Stop if `value` is one to stop at, which a node of a compiled graph made.

        Args:
            node: makes that node.
            value: its output.
            born: whether the node made its elements; it did not if it is a view or not written yet.

        """
        if self._predicate is not None:
            made = node()
            if self._says(made, value):
                self._stop(made, value)
        elif self.is_bad(value) if born else self._passed:
            made = node()
            sources = [one.producer for one in made.inputs]
            if self._is_birth(made.seq, sources, born=born):
                self._stop(made, value)

    def ask_of_fused(self, call: GraphCall) -> None:
        """Stop at the first node of a fused graph whose value was not finite, now that it has run."""
        bad, call.bad = call.bad, {}
        if not bad:
            return
        given = {trace[2] for trace in call.inputs if trace is not None}
        steps = set(bad)
        for index, step in enumerate(call.table.steps):
            if step.op.views and step.inputs:
                kind, source, _ = step.inputs[0][1]
                steps |= {index} if kind == "step" and source in steps else set()
        born = given.isdisjoint(self._passed)
        self._passed |= {call.seqs[index] for index in steps}
        if born:
            first = min(bad)
            self._stop(call.node(first), bad[first])

    def is_bad(self, value: Any) -> bool:
        """Whether a value is a tensor with elements that are not finite."""
        if not isinstance(value, torch.Tensor) or self._look is None:
            return False
        kind = kind_of(value)
        return fact_of(kind, self._look(value, kind)).finite is False

    def _watch(self, raw: Raw, result: Any) -> None:
        values = result if isinstance(result, list | tuple) else (result,)
        tensors = [one for one in values if isinstance(one, torch.Tensor)]
        value = self._wanted(raw, tensors)
        if value is not None:
            forward = None if raw.forward is None else self._recorder.builder.site_of(raw.forward)
            self._recorder.flush()
            self._open(f"{raw.op.name} ({raw.phase.split()[0]})", value, forward, gradient=True)

    def _wanted(self, raw: Raw, tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
        if self._predicate is not None:
            (node, *_) = self._recorder.builder.build([tuple(raw)], 0.0)
            return next((one for one in tensors if self._says(node, one)), None)
        born = not (raw.op.views or raw.op.unborn)
        bad = next(filter(self.is_bad, tensors), None) if born else None
        if born and bad is None:
            return None
        return bad if self._is_birth(raw.seq, [trace[2] for trace in raw.traces], born=born) else None

    def _is_birth(self, seq: int, sources: Sequence[int | None], *, born: bool) -> bool:
        """Whether node `seq` is the first of its values' line that is not finite; from now on it is known."""
        follows = not self._passed.isdisjoint(sources)
        if len(self._passed) > _MOST_PASSED:
            self._passed.clear()
        if born or follows:
            self._passed.add(seq)
        return born and not follows

    def _says(self, node: Any, value: torch.Tensor) -> bool:
        """Return the predicate's answer; one that raises is not asked again."""
        if self._predicate is None:
            return False
        try:
            return bool(self._predicate(node, value))
        except Exception as error:
            self._predicate = _never
            self._recorder.sink.tool_error("break_on, which is not asked again", error)
            return False

    def _stop(self, node: Node, value: torch.Tensor) -> None:
        """Stop at the line that ran a compiled graph, and say which line of it `node` is of."""
        self._open(f"{node.op} ({node.phase})", value, node.site, gradient=node.phase == "backward")

    def _open(self, what: str, value: torch.Tensor, site: Site | None, *, gradient: bool) -> None:
        frames = self._recorder.stack.user_frames(sys._getframe(1))
        user = next((one for one in frames if not is_generated(one.f_code)), None)
        if user is None:
            return
        shape = "x".join(map(str, value.shape)) or "a scalar"
        where = ""
        if site is not None:
            line = f"{os.path.basename(site.file)}:{site.line}"
            where = f", the gradient of {line}" if gradient else f", at {line}"
        print(f"graphdebug: {what} made {OFFENDING}, {shape}{where}")
        if site is not None and not gradient:
            print(f"  {linecache.getline(site.file, site.line).strip()}")
        open_debugger(user, {OFFENDING: value})


def _never(*_: Any) -> bool:
    return False
