"""From raw records of the hot path to Node events, built in batches away from the running program."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.code.reshapes import asked_for, written_as
from graphdebug.backends.torch.code.stack import Place
from graphdebug.backends.torch.nodes.attributes import Call, attributes_of, function_of
from graphdebug.backends.torch.nodes.facts import fact_of, fact_of_operand
from graphdebug.backends.torch.nodes.ops import Op
from graphdebug.backends.torch.nodes.origins import Trace
from graphdebug.model.event import Event, Gradient, Node, Operand, Site
from graphdebug.options import Options

__all__ = ["TENSOR", "Accumulated", "NodeBuilder", "Raw", "Record", "call_of", "operand_of", "operands_of"]

TENSOR = object()
"""Stands for a tensor in the recorded arguments of an op."""
_RESHAPES = frozenset(("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::_reshape_alias"))
_MOST_TEMPLATES = 20_000
_FORWARDS_KEPT = 50_000


class Accumulated(NamedTuple):
    """The leaf tensor whose gradient an op left."""

    name: str
    """Of the parameter, or of the user's variable that holds the tensor."""
    seq: int
    """Number for the gradient's event."""
    made: int | None
    """Number of the node that made the leaf, where one did."""


class Raw(NamedTuple):
    """One executed op as the hot path saw it: traces and plain values, never tensors.

    The hot path makes plain tuples of these fields: the record of a running op, then how it ended.
    """

    seq: int
    step: int
    op: Op
    phase: str
    place: Place
    module: str
    traces: list[Trace]
    """The tensor arguments, in order."""
    statics: list[Any]
    """All arguments, tensors replaced by `TENSOR`, those given by keyword as a dict at the end."""
    forward: int | None
    name: str
    parameter: Accumulated | None
    """The leaf whose gradient this op left."""
    thread: int
    began: float
    ended: float = 0.0
    outputs: Sequence[Trace] = ()
    alias_of: int | None = None
    execution: Any = "executed"
    mode: str = "eager"


Record = tuple[Any, ...]
"""The fields of a Raw, as the hot path holds them."""


class Template:
    """What all executions of one op at one place with arguments of the same kinds share."""

    __slots__ = ("attributes", "family", "function", "mutates", "roles", "statics")

    def __init__(
        self,
        op: Op,
        traces: list[Trace],
        statics: list[Any],
        site: Site | None,
        joined: tuple[int, int] | None,
    ) -> None:
        self.statics = statics
        arguments, values = sort_arguments(op, statics)
        call = Call(op, op.defaults | values, [trace[4].shape for trace in traces])
        self.function = function_of(call)
        self.family = op.family
        self.attributes = attributes_of(call)
        if "target" in self.attributes and op.name in _RESHAPES and traces:
            asked = asked_for(site, self.attributes["target"], traces[0][4].shape or (), joined)
            self.attributes["target"] = asked
            self.function = written_as(site, joined) or self.function
        self.roles = [op.roles.get(one, "") for one in arguments]
        self.mutates = tuple([i for i, one in enumerate(arguments) if one in op.writes])

    def as_linear(self) -> None:
        """A product with a parameter is a linear layer without a bias."""
        self.function, self.family = "linear", "linear"
        self.roles, self.attributes = ["input", "weight"], {"weight_layout": "IO"}


class NodeBuilder:
    """Builds nodes, and remembers of each forward node what its backward node inherits."""

    def __init__(self, sink: Sink, options: Options) -> None:
        self.sink = sink
        self.gradients = options.gradients != "none"
        self.forwards: dict[int, tuple[str, Place]] = {}
        self._pairs: dict[tuple[str, Place], tuple[str, Place]] = {}
        """Each pair in `forwards` once: stencils know forward nodes by its identity."""
        self._checkpointed: dict[tuple[str, str], deque[int]] = {}
        """Nodes that ran inside a checkpoint and are to run again, by op and module, in order."""
        self._templates: dict[tuple[Any, ...], Template] = {}
        self.users: dict[str, int] = {}
        """Parameter -> the first forward node of the step that used it."""
        self.users_step = -1
        self._step_starts: deque[int] = deque([0], maxlen=2)
        """The first forward node of this step and of the one before."""
        self.sources: dict[int, tuple[int | None, ...]] = {}
        """Forward node -> the nodes that made its inputs."""
        self.finished: dict[int, str] = {}
        """Forward nodes whose backward has begun to run, in that order -> the autograd node's name."""
        self.flattened: dict[str, tuple[int, int]] = {}
        """Flatten modules by path: the first and the last axis they join."""

    @property
    def oldest_forward(self) -> int:
        """The first forward node that backward nodes may still point at: that of the step before."""
        return self._step_starts[0]

    def site_of(self, forward: int) -> Site | None:
        """Return the user's line of a forward node."""
        known = self.forwards.get(forward)
        return known[1].sites()[0] if known is not None else None

    def user_of(self, parameter: str, otherwise: int | None) -> int | None:
        """Return the first forward node of the step that used a parameter, `otherwise` where none did."""
        return self.users.get(parameter, otherwise)

    def saver_of(self, made: int | None, before: int) -> int | None:
        """Return the forward node, older than `before`, that kept for its backward the tensor that node `made`
        made: the last one that used it and whose backward has not run, else `made` itself.
        """
        keepers = [seq for seq, sources in self.sources.items() if made in sources and seq < before]
        waiting = [seq for seq in keepers if seq not in self.finished]
        return waiting[-1] if waiting else made

    def last_backward(self, name: str) -> int | None:
        """Return the forward node whose backward ran last as an autograd node of this name."""
        return next((seq for seq, one in reversed(self.finished.items()) if one == name), None)

    def build(self, raws: Sequence[Record], zero: float) -> list[Event]:
        """Return the events of `raws` (tuples of a Raw's fields), whose times count from `zero`."""
        events: list[Event] = []
        for raw in raws:
            try:
                self.build_one(raw, zero, events)
            except Exception as error:
                self.sink.tool_error("building a node", error)
        self.forget()
        return events

    def forget(self) -> None:
        """Forget old forward nodes of a program without steps."""
        if len(self._pairs) > _FORWARDS_KEPT:
            self._pairs.clear()
        if len(self.forwards) > _FORWARDS_KEPT:
            self._forget_before(list(self.forwards)[_FORWARDS_KEPT // 2])

    def build_one(self, raw: Record, zero: float, events: list[Any]) -> None:
        """Append the events of one record to `events`."""
        (
            seq, step, op, phase, place, module, traces, statics, forward, name, parameter, thread,
            began, ended, made, alias_of, execution, mode,
        ) = raw  # fmt: skip
        key = (op, place, module, *[trace[4] for trace in traces])
        template = self._templates.get(key)
        if template is None or _differ(template.statics, statics):
            template = self._template(key, op, phase, traces, statics)
        site, callers = place.sites()
        run_site = None
        if phase.startswith("backward"):
            known = self.forwards.get(forward)
            if known is not None:
                self.finished[forward] = name
                module = module or known[0]
                pair = module, known[1]
                self.forwards[seq] = self._pairs.setdefault(pair, pair)  # its own backward may be to come
                if phase == "backward":  # called by the engine: its line is that of the forward node
                    run_site, (site, callers) = site, known[1].sites()
            phase = "backward"
        elif phase != "optimizer":
            phase, forward = self._forward(raw, phase, traces)
            known = self.forwards.get(forward) if forward is not None else None
            if known is not None:  # recomputed: its line is that of the first time
                run_site, (site, callers) = site, known[1].sites()
        inputs = [
            Operand(fact_of_operand(trace[4], trace[5]), "node", trace[2], trace[3], "", role)
            if trace[6] is None
            else _named(trace, role)
            for trace, role in zip(traces, template.roles, strict=True)
        ]
        if alias_of is None and len(made) == 1 and made[0][5] is True:
            outputs: Any = (made[0][4].finite,)
        else:
            outputs = tuple([fact_of(trace[4], trace[5], alias_of) for trace in made])
        events.append(
            Node(
                seq, step, op.name, template.function, template.family, "torch", mode, phase, name, module,
                op.overload, site, run_site, callers, tuple(inputs), outputs, forward, template.mutates,
                template.attributes, execution, began - zero, ended - began, "", thread,
            )
        )  # fmt: skip
        if parameter is not None and made:
            events.append(self.gradient(Raw._make(raw)))

    def enter_step(self, step: int, seq: int) -> None:
        """A step's first forward node is `seq`: forget what belongs to the step before the last."""
        self.users_step = step
        self._forget_before(self._step_starts[0])
        self._step_starts.append(seq)
        self.users.clear()
        self._checkpointed.clear()

    def _forget_before(self, seq: int) -> None:
        """Forget forward nodes older than `seq`: their backward has run, or never will."""
        tables: tuple[dict[int, Any], ...] = (self.forwards, self.sources, self.finished)
        for table in tables:
            for old in list(takewhile(seq.__gt__, table)):  # numbers rise, but for those of other threads
                del table[old]

    def _template(self, key: Any, op: Op, phase: str, traces: list[Trace], statics: list[Any]) -> Template:
        if len(self._templates) > _MOST_TEMPLATES:
            self._templates.clear()
        site = key[1].sites()[0]
        template = Template(op, traces, statics, site, self.flattened.get(key[2]))
        if op.name == "aten::mm" and _is_layer(phase, traces):
            template.as_linear()
        self._templates[key] = template
        return template

    def _forward(self, raw: Record, phase: str, traces: list[Trace]) -> tuple[str, int | None]:
        """Remember a forward or recomputed node; return its phase and the node it recomputes."""
        seq, step, op, _, place, module = raw[:6]
        pair = module, place
        self.forwards[seq] = self._pairs.setdefault(pair, pair)
        self.sources[seq] = tuple([trace[2] for trace in traces])
        if step != self.users_step:
            self.enter_step(step, seq)
        if self.gradients:
            for trace in traces:
                if trace[6] is not None and trace[6][0] == "parameter":
                    self.users.setdefault(trace[6][1], seq)
        if phase == "forward":
            return phase, None
        first_times = self._checkpointed.setdefault((op.name, module), deque())
        if phase == "recompute":
            return phase, first_times.popleft() if first_times else None
        first_times.append(seq)
        return "forward", None

    def gradient(self, raw: Raw) -> Gradient:
        """Return the gradient that the op of this record left."""
        name, seq, made = raw.parameter or Accumulated("", 0, None)
        trace = raw.outputs[0]
        source = raw.traces[0] if raw.op.views else trace
        return Gradient(
            seq, raw.step, fact_of(trace[4], trace[5]), name, self.users.get(name, made), 0, source[2]
        )


def _is_layer(phase: str, traces: list[Trace]) -> bool:
    named = traces[1][6] if len(traces) > 1 else None
    return phase.startswith("forward") and named is not None and named[0] == "parameter"


def _differ(one: list[Any], other: list[Any]) -> bool:
    try:
        return one != other or [*map(type, one)] != [*map(type, other)]  # 1, 1.0 and True are equal
    except NotImplementedError:  # a process group, which can't be compared
        return True


def sort_arguments(op: Op, statics: list[Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the argument name of each tensor argument, and the other arguments by name."""
    tensors: list[str] = []
    values: dict[str, Any] = {}
    pairs: list[tuple[str, Any]] = []
    for index, value in enumerate(statics):
        if type(value) is dict and index == len(statics) - 1:
            pairs += value.items()
        else:
            pairs.append((op.arguments[index] if index < len(op.arguments) else "", value))
    for name, value in pairs:
        count = _tensors_in(value)
        if count:
            tensors += [name] * count
        else:
            values[name] = value
    return tensors, values


def call_of(raw: Raw) -> Call:
    """Return the call of a record: its op, its non-tensor arguments, the shapes of its inputs."""
    _, values = sort_arguments(raw.op, raw.statics)
    return Call(raw.op, raw.op.defaults | values, [trace[4].shape for trace in raw.traces])


def operand_of(op: Op, argument: str, trace: Trace) -> Operand:
    """Return the operand that the tensor given for `argument` is."""
    return _named(trace, op.roles.get(argument, ""))


def operands_of(raw: Raw) -> list[tuple[Operand, Any]]:
    """Return the operands of a record, each with its tensor where that is still alive."""
    arguments, _ = sort_arguments(raw.op, raw.statics)
    return [
        (operand_of(raw.op, argument, trace), trace[0]())
        for trace, argument in zip(raw.traces, arguments, strict=True)
    ]


def _tensors_in(value: Any) -> int:
    if value is TENSOR:
        return 1
    return sum(_tensors_in(one) for one in value) if type(value) is list else 0


def _named(trace: Trace, role: str) -> Operand:
    origin, name = trace[6] or ("node", "")
    return Operand(fact_of_operand(trace[4], trace[5]), origin, trace[2], trace[3], name, role)
