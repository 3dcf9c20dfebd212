"""Arguments: what an op is given, as traces and plain values; what a tensor is that is seen first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor

from graphdebug.backends.torch.nodes.facts import Measured, Valued, kind_of
from graphdebug.backends.torch.nodes.looking import Looker
from graphdebug.backends.torch.nodes.modules import Modules
from graphdebug.backends.torch.nodes.ops import Op
from graphdebug.backends.torch.nodes.origins import Origins, Trace, trace_of, version_of
from graphdebug.backends.torch.nodes.records import TENSOR, Accumulated
from graphdebug.model.event import Origin, Stats

__all__ = ["Arguments"]

_CONTAINERS = frozenset((list, tuple))


class Arguments:
    """Reads arguments off calls.

    Args:
        modules: knows parameters and the names of variables.
        origins: knows tensors.
        look: looks at what comes from outside; None where the level does not.
        measure: looks at whole numbers that are calculated with; None where the level does not.
        next_seq: takes the number of a gradient's event; None where gradients are not recorded.

    """

    def __init__(
        self, modules: Modules, origins: Origins, look: Looker | None, measure: Looker | None,
        next_seq: Callable[[], int] | None,
    ) -> None:  # fmt: skip
        self.blind = False
        """Whether ops ran in this recording that it was told not to take."""
        self._modules = modules
        self._origins = origins
        self._look = look
        self._measure = measure
        self._next_seq = next_seq

    def take(self, value: Any, op: Op, phase: str, traces: list[Trace]) -> Any:
        """Return an argument with its tensors replaced by a mark; their traces go into `traces`."""
        if isinstance(value, Tensor):
            trace = self._origins.get(value) or self._first_seen(value, op, phase)
            traces.append(self._measured(value, trace) if op.counts and not op.casts else trace)
            return TENSOR
        if type(value) in _CONTAINERS:
            return [self.take(one, op, phase, traces) for one in value]
        return value

    def measure_cast(self, args: Any, kwargs: dict[str, Any], traces: list[Trace]) -> None:
        """Look at what becomes whole numbers, where an op is asked for those."""
        dtype = kwargs.get("dtype")
        if self._measure is None or dtype is None or dtype.is_floating_point or not traces:
            return
        value, trace = args[0], self._measured(args[0], traces[0])
        traces[0] = trace
        if trace[4].inexact and trace[5] is not None:
            look = trace[5] if isinstance(trace[5], Stats | Valued) else self._measure(value, trace[4])
            if isinstance(look, Stats | Valued):
                stats = look.stats if isinstance(look, Valued) else look
                traces[0] = (*trace[:5], Measured(stats), trace[6])

    def _measured(self, tensor: Tensor, trace: Trace) -> Trace:
        """Return the trace of a tensor, of whole numbers with their statistics."""
        if trace[5] is None and trace[4].whole and self._measure is not None:
            trace = (*trace[:5], self._measure(tensor, trace[4]), trace[6])
            self._origins.made[id(tensor)] = trace
        return trace

    def _first_seen(self, tensor: Tensor, op: Op, phase: str) -> Trace:
        named = self._modules.name_of(tensor)
        if named is not None:
            writer = self._origins.writer(tensor, version_of(tensor))
            trace = trace_of(kind_of(tensor), writer, named=self._origins.named(*named[:2]))
            return self._origins.put(tensor, trace, named[2])
        name, look = "", None
        if phase.partition(" ")[0] not in ("backward", "optimizer"):
            name = self._modules.variable_name(tensor, sys._getframe(1))
            look = None if self._look is None else self._look(tensor, kind_of(tensor))
        origin: Origin = "argument" if name or not (self.blind or phase.startswith("backward")) else "unknown"
        if op.function == "constant":
            origin = "constant"
        return self._origins.put(
            tensor, trace_of(kind_of(tensor), None, look=look, named=self._origins.named(origin, name))
        )

    def note_writes(self, op: Op, seq: int, args: Any, kwargs: Any) -> None:
        """Remember what an op that is about to run writes in place."""
        for index, argument in op.written:
            value = args[index] if index < len(args) else kwargs.get(argument)
            for one in value if isinstance(value, list | tuple) else (value,):
                if isinstance(one, Tensor):
                    self._origins.wrote(one, seq, version_of(one) + 1)

    def accumulated(self, node: Any) -> Accumulated | None:
        """Return the leaf whose gradient the running node accumulates: a parameter, or one of the user's."""
        if self._next_seq is None:
            return None
        leaf = node.variable
        named = self._modules.name_of(leaf)
        if named is not None:
            return Accumulated(named[1], self._next_seq(), None)
        trace = self._origins.get(leaf)
        name = self._modules.variable_name(leaf, sys._getframe(1))
        return Accumulated(name, self._next_seq(), None if trace is None else trace[2])
