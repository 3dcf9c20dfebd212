"""From records of the hot path to Node events, built in batches away from the running program."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.code.stack import Place
from graphdebug.backends.torch.nodes.facts import fact_of, fact_of_operand
from graphdebug.backends.torch.nodes.origins import Trace
from graphdebug.backends.torch.nodes.records import Accumulated, Raw, Record, named_operand
from graphdebug.backends.torch.nodes.templates import Template
from graphdebug.model.event import Event, Gradient, Node, Operand, Site
from graphdebug.options import Options

__all__ = ["NodeBuilder"]

_MOST_TEMPLATES = 20_000
_FORWARDS_KEPT = 50_000


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
        template = self.template(raw)
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
        counts = op.counts
        inputs = [
            Operand(fact_of_operand(trace[4], trace[5], measured=counts), "node", trace[2], trace[3], "", role)
            if trace[6] is None
            else named_operand(trace, role, measured=counts)
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
                template.attributes_with(statics), execution, began - zero, ended - began, "", thread,
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

    def template(self, raw: Record) -> Template:
        """Return the template of a record."""
        op, phase, place, module, traces, statics = raw[2:8]
        key = (op, place, module, *[trace[4] for trace in traces])
        template = self._templates.get(key)
        if template is not None and template.fits(statics):
            return template
        if len(self._templates) > _MOST_TEMPLATES:
            self._templates.clear()
        site, joined = place.sites()[0], self.flattened.get(module)
        template = self._templates[key] = Template(op, traces, statics, site, joined, template)
        if op.name == "aten::mm" and _is_layer(phase, traces):
            template.as_linear()
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
