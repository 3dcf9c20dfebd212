"""From raw records of the hot path to Node events, built in batches away from the running program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.attributes import Call, attributes_of, function_of
from graphdebug.backends.torch.facts import fact_of
from graphdebug.backends.torch.ops import Op
from graphdebug.backends.torch.origins import Trace
from graphdebug.backends.torch.stack import Place
from graphdebug.model.event import Event, Node, Operand, Phase, Site, Stats
from graphdebug.options import Options

__all__ = ["NodeBuilder", "Raw", "call_of_raw", "operand_of"]


class Raw:
    """One executed op as the hot path saw it: references to facts, never to tensors."""

    __slots__ = (
        "alias_of", "began", "ended", "execution", "forward", "inputs", "mode", "module", "name", "op",
        "outputs", "parameter", "phase", "place", "seq", "step", "thread", "values",
    )  # fmt: skip

    def __init__(self, seq: int, step: int, op: Op, phase: Any, place: Place, module: str, thread: int) -> None:
        self.seq = seq
        self.step = step
        self.op = op
        self.phase: Phase = phase
        self.place = place
        self.module = module
        self.thread = thread
        self.inputs: list[tuple[str, Trace]] = []
        self.values: dict[str, Any] = {}
        self.outputs: list[Trace] = []
        self.forward: int | None = None
        self.alias_of: int | None = None
        self.name = ""
        self.parameter: tuple[str, Any] | None = None
        self.execution: Any = "executed"
        self.mode = "eager"
        self.began = self.ended = 0.0


class NodeBuilder:
    """Builds nodes, and remembers of each forward node what its backward node inherits."""

    def __init__(self, sink: Sink, options: Options) -> None:
        self._sink = sink
        self._options = options
        self._forwards: dict[int, tuple[str, Site | None, tuple[Site, ...]]] = {}
        self._attributes: dict[Any, dict[str, Any]] = {}

    def build(self, raws: Sequence[Raw]) -> list[Event]:
        """Return the nodes of `raws`."""
        return [self._node(raw) for raw in raws]

    def _node(self, raw: Raw) -> Node:
        sites = tuple(self._sink.sites.resolve(one) for one in raw.place.positions)
        site, callers, run_site, module = sites[0] if sites else None, sites[1:], None, raw.module
        if raw.phase == "backward" and raw.forward in self._forwards:
            module, forward_site, forward_callers = self._forwards[raw.forward]
            if raw.place.in_backward:
                site, callers, run_site = forward_site, forward_callers, site
        else:
            self._forwards[raw.seq] = module, site, callers
        op, call = raw.op, call_of_raw(raw)
        return Node(
            raw.seq,
            raw.step,
            op.name,
            function_of(call),
            op.family,
            "torch",
            raw.mode,
            raw.phase,
            raw.name,
            module,
            op.overload,
            site,
            run_site,
            callers,
            tuple([operand_of(op, argument, trace) for argument, trace in raw.inputs]),
            tuple([fact_of(one.key, one.look, raw.alias_of) for one in raw.outputs]),
            raw.forward,
            tuple([i for i, (argument, _) in enumerate(raw.inputs) if argument in op.writes]),
            attributes_of(call),
            raw.execution,
            raw.began,
            raw.ended - raw.began,
            "",
            raw.thread,
        )


def call_of_raw(raw: Raw) -> Call:
    """Return the call of a record: its op, its non-tensor arguments, the shapes of its inputs."""
    return Call(raw.op, raw.op.defaults | raw.values, [trace.key[0] for _, trace in raw.inputs])


def operand_of(op: Op, argument: str, trace: Trace) -> Operand:
    """Return the operand that an argument is."""
    role = op.roles[op.arguments.index(argument)] if argument in op.arguments else ""
    return Operand(
        fact_of(trace.key, trace.look if trace.look is True or _is_bad(trace.look) else None),
        trace.origin,
        trace.seq,
        trace.output,
        trace.name,
        role,
    )


def _is_bad(look: Any) -> bool:
    """Whether looking found elements that are not finite: an operand says so, it says no other statistics."""
    return isinstance(look, Stats) and bool(look.nan or look.pos_inf or look.neg_inf)
