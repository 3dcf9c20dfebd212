"""Reading: goes through the ops of a traced function, and of the functions it calls, into one plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace
from tensorflow.python.framework import tensor_util
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

from graphdebug.backends.tensorflow.attributes import Asked, attributes_of
from graphdebug.backends.tensorflow.facts import array_fact, static_fact
from graphdebug.backends.tensorflow.sites import build_sites
from graphdebug.backends.tensorflow.two.inside import CALLS, Inside
from graphdebug.backends.tensorflow.two.looking import Looking, looking_at_nothing
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.ops import ALIASES
from graphdebug.backends.tensorflow.two.plan import Called, Control, Entry, Gradients, Plan, Ref, Slots, numbers
from graphdebug.backends.tensorflow.two.scopes import layer_path
from graphdebug.backends.tensorflow.two.settling import OF_OUTER
from graphdebug.backends.tensorflow.two.summaries import Summaries
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.backends.whole import COUNTS, is_whole
from graphdebug.model.event import Operand, Phase

__all__ = ["Reading", "draws"]

_PASSING = frozenset({"Identity", "IdentityN", "ReadVariableOp"})
"""Plumbing that hands its inputs on."""

_SILENT = frozenset({"NoOp", "Placeholder", "Const"})
_LOOPS = frozenset({"While", "StatelessWhile"})
_BRANCHES = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})
_SITES = 4
_COMPILED = "compiled by XLA: it can't be looked into"


class Reading:
    """Reads one function and all it calls into one plan.

    Args:
        observer: the recording.
        plan: what is read goes there.
        looking: says what became of its ops, and looks at what they give.
        inside: opens the functions that are called without being inlined; None where nothing is looked at.

    """

    def __init__(self, observer: Observer, plan: Plan, looking: Looking, inside: Inside | None = None) -> None:
        self._observer = observer
        self._plan = plan
        self._looking = looking
        self._inside = inside

    def read(self, graph: Any, function: str, prefix: str, arguments: Sequence[Ref]) -> list[Ref]:
        """Read a graph into the plan; return where its outputs come from.

        Args:
            graph: the FuncGraph of a function.
            function: its name in the runtime.
            prefix: the path of what calls it.
            arguments: where its inputs come from.

        """
        refs = self.entries(graph, function, prefix, arguments)
        for gradient in self._observer.links.gradients(graph):
            forward = f"{prefix}{gradient.forward}" if gradient.forward else ""
            ref = refs.get(gradient.tensor, Ref("known"))
            if gradient.variable or ref.kind == "entry":  # else it is the one that the tape began with
                self._plan.gradients.append(Gradients(gradient.variable, ref, forward, gradient.output))
        return [refs.get(tensor.name, _unknown(tensor)) for tensor in graph.outputs]

    def entries(self, graph: Any, function: str, prefix: str, arguments: Sequence[Ref]) -> dict[str, Ref]:
        """Add the ops of a graph to the plan; return where its tensors come from, by their names."""
        alive = (found for ref in graph._weak_variables if (found := ref()) is not None)
        for variable in alive:
            for one in getattr(variable, "_values", None) or (variable,):  # a mirrored one has one a replica
                name = self._observer.ledger.name_of(one)
                if name != "UnreadVariable":  # what an assignment returns
                    self._observer.ledger.variables.setdefault(one.handle._id, name)
        given = zip(graph.inputs, arguments, strict=True)
        refs = {one.name: ref for one, ref in given if hasattr(one, "op")}  # a failed trace has eager ones
        for op in graph.get_operations():
            if op.type in _PASSING:
                for tensor, source in zip(op.outputs, op.inputs, strict=False):
                    refs[tensor.name] = refs.get(source.name, _unknown(source))
            elif op.type == "Const":
                refs[op.outputs[0].name] = Ref("known", known=Operand(static_fact(op.outputs[0]), "constant"))
            elif op.type in CALLS or op.type in graph._functions:
                self._call(op, graph, prefix, refs)
            elif op.type not in _SILENT:
                self._op(op, graph, function, prefix, refs)
        return refs

    def _call(self, op: Any, graph: Any, prefix: str, refs: dict[str, Ref]) -> None:
        inner = graph._get_function(op.get_attr("f").name if op.type in CALLS else op.type)
        arguments = [refs.get(one.name, _unknown(one)) for one in op.inputs]
        body = None if inner is None else _body(graph, inner)
        if body is None:
            for tensor in op.outputs:
                refs[tensor.name] = _unknown(tensor)
            return
        compiled = "_XlaMustCompile" in inner.definition.attr and inner.definition.attr["_XlaMustCompile"].b
        self._plan.compiled |= bool(compiled)
        path, name = f"{prefix}{op.name}", inner.definition.signature.name
        left = self._looking.optimized.node(path)
        if compiled:
            reading = Reading(self._observer, self._plan, looking_at_nothing(_COMPILED))
            outputs = reading.read(body, name, f"{path}/", arguments)
        elif left is not None and self._inside is not None and self._inside.is_call(left):
            outputs = self._not_inlined(left, body, name, f"{path}/", arguments)
        else:
            outputs = self.read(body, name, f"{path}/", arguments)
        for tensor, ref in zip(op.outputs, outputs, strict=False):
            refs[tensor.name] = ref

    def _not_inlined(
        self, node: Any, graph: Any, name: str, prefix: str, arguments: Sequence[Ref]
    ) -> list[Ref]:
        """Read a function that `node` calls, and have it called with looking added if that can be."""
        inside, plan, size = self._inside, self._plan, self._plan.size()
        assert inside is not None
        looking = inside.looking(node, self._looking, prefix, draws=draws(graph))
        outer, called = (plan.slots, plan.within), Called(len(plan.entries), Slots())
        plan.calls.append(called)
        plan.slots, plan.within = called.slots, {}
        outputs = Reading(self._observer, plan, looking, inside).read(graph, name, prefix, arguments)
        plan.slots, plan.within = outer
        refused = inside.call_instead(node, self._looking, looking)
        if not refused:
            return outputs
        plan.shorten(size)
        reading = Reading(self._observer, plan, looking_at_nothing(refused))
        return reading.read(graph, name, prefix, arguments)

    def _op(self, op: Any, graph: Any, function: str, prefix: str, refs: dict[str, Ref]) -> None:
        name = word(op.type)
        path = f"{prefix}{op.name}"
        sources = [refs.get(one.name, _unknown(one)) for one in op.inputs]
        scope = _scope(op.name)
        layer = self._observer.links.layer(graph, scope)
        entry = Entry(
            op.type, path, name.function, name.family, self._phase(op, graph, sources),
            layer or layer_path(scope, self._observer.ledger.variables.values()),
            tuple(build_sites(op, self._observer.sink.sites, _SITES)),
            tuple((ref, name.role(index)) for index, ref in enumerate(sources)),
            [static_fact(tensor) for tensor in op.outputs],
            alias=op.type in ALIASES, source=op, home=function,
        )  # fmt: skip
        entry.attributes = _attributes(op, sources, entry)
        entry.forward, forward = _forward_by_name(op.name, prefix), self._observer.links.forward(graph, op.name)
        if forward and not entry.forward.startswith(OF_OUTER):  # of an op in a backward loop it is the loop
            entry.forward = f"{prefix}{forward}"
        if op.type in _LOOPS or op.type in _BRANCHES:
            self._control(op, graph, entry)
        index = len(self._plan.entries)
        self._plan.entries.append(entry)
        for output, tensor in enumerate(op.outputs):
            refs[tensor.name] = Ref("entry", index, output)
        if entry.control is None:
            self._looking.at(self._plan, op, entry, prefix)
            if entry.function in COUNTS and op.outputs:
                self._count(op, entry, index)

    def _count(self, op: Any, entry: Entry, index: int) -> None:
        """Have measured what an op is given and gives that may leave the range of whole numbers."""
        becomes = is_whole(entry.outputs[0].dtype)
        if entry.function == "cast" and not becomes:
            return
        if becomes:
            self._looking.measure(self._plan, (index, 0))
        operands = list(zip(op.inputs, entry.inputs, strict=True))
        for at, (tensor, (ref, role)) in enumerate(operands[: 1 if entry.family == "reduce" else None]):
            if not is_whole(static_fact(tensor).dtype) and entry.function != "cast":
                continue
            if ref.kind == "entry":
                self._looking.measure(self._plan, (ref.at, ref.output))
            elif ref.kind == "argument" and self._plan.outer:
                self._plan.counted.add(ref.at)
            elif ref.known is not None and (value := tensor_util.constant_value(tensor)) is not None:
                fact = array_fact(np.asarray(value), "stats", dtype=ref.known.fact.dtype)
                known = replace(ref.known, fact=replace(ref.known.fact, stats=fact.stats))
                inputs = list(entry.inputs)
                inputs[at] = ref._replace(known=known), role
                entry.inputs = tuple(inputs)

    def _control(self, op: Any, graph: Any, entry: Entry) -> None:
        """Read the body of a loop or the branches of a cond, each into a plan of its own."""
        loop, looking, plan = op.type in _LOOPS, self._looking, self._plan
        names, words = ([op.get_attr("body").name], ["body"]) if loop else _branches(op)
        parts = [looking.rounds(entry)] if loop else looking.branches(entry, len(names))
        bodies = [
            self._body(graph, name, f"{entry.name}/{kind}/", part, loop=loop)
            for name, kind, part in zip(names, words, parts, strict=True)
        ]
        entry.control = Control(loop, bodies, words)
        if loop and not plan.unknown:
            condition = op.get_attr("cond").name
            entry.control.condition = self._body(graph, condition, f"{entry.name}/cond/", None, loop=False)
        looked = [part for part in parts if part is not None]
        if looked:  # its number in the plan: the ops of its bodies are in plans of their own
            plan.slots.shapes.append((len(plan.entries), -1, 1))
        if looked and not loop and looking.summaries is not None:
            looking.summaries.merge(looked)
        entry.execution = "executed" if looked else looking.optimized.without_trace

    def _body(self, graph: Any, name: str, prefix: str, part: Summaries | None, *, loop: bool) -> Plan:
        inner = graph._get_function(name)
        body = Plan(name, outer=False)
        if inner is None or getattr(inner, "graph", None) is None:
            return body
        reading = Reading(self._observer, body, self._looking.elsewhere(part), self._inside)
        arguments = [Ref("argument", index) for index in range(len(inner.graph.inputs))]
        body.outputs = reading.read(inner.graph, name, prefix, arguments)
        if loop and part is not None:
            body.stage = f"graphdebug_{next(numbers)}"
            body.staged = part.stage(body.stage)
        return body

    def _phase(self, op: Any, graph: Any, sources: Sequence[Ref]) -> Phase:
        seen = self._observer.links.phase(graph, op.name)
        if seen is not None:
            return seen
        if "gradient_tape/" in op.name or op.name.startswith("gradients/"):
            return "backward"
        entries = self._plan.entries
        if any(ref.kind == "entry" and entries[ref.at].phase != "forward" for ref in sources):
            return "optimizer"
        return "forward"


def _forward_by_name(name: str, prefix: str) -> str:
    """TensorFlow names the gradient of ``a/MatMul`` in a backward function ``gradients/a/MatMul_grad/...``."""
    found = re.match(r"gradients/(.+?)_grad/", name)
    if found is None:
        inside = re.match(r"(?:.*/)?gradients/(.+?)_grad/", name)
        return "" if inside is None else f"{OF_OUTER}{inside.group(1)}"
    outer = re.match(r"gradients/(.+?)_grad/", prefix)
    return f"{outer.group(1)}/{found.group(1)}" if outer else found.group(1)


def _body(graph: Any, function: Any) -> Any:
    """Return the graph of a function's ops; one that Defun made is rebuilt, without lines."""
    if hasattr(function, "graph"):
        return function.graph
    with graph.as_default():
        return function_def_to_graph(function.definition)


def draws(graph: Any) -> bool:
    """Whether a function draws random numbers by a seed: how many it has drawn is a state of its own."""
    functions = [getattr(one, "graph", None) for one in graph._functions.values()]
    return any(
        op.op_def.is_stateful and any(attr.name in ("seed", "seed2") and op.get_attr(attr.name)
                                      for attr in op.op_def.attr)
        for one in (graph, *functions) if one is not None for op in one.get_operations()
    )  # fmt: skip


def _unknown(tensor: Any) -> Ref:
    return Ref("known", known=Operand(static_fact(tensor), "unknown"))


def _scope(name: str) -> str:
    found = re.match(r"gradients/(.+?)_grad/", name)
    scope = (found.group(1) if found else name).rpartition("/")[0]
    return f"{scope}/".replace("gradient_tape/", "").rstrip("/")


def _attributes(op: Any, sources: Sequence[Ref], entry: Entry) -> dict[str, Any]:
    def attr(key: str) -> Any:
        try:
            return op.get_attr(key)
        except ValueError:
            return None

    def constant(index: int) -> Any:
        return tensor_util.constant_value(op.inputs[index]) if index < len(op.inputs) else None

    operands = [Operand(static_fact(one), ref.known.origin if ref.known else "node")
                for one, ref in zip(op.inputs, sources, strict=True)]  # fmt: skip
    return attributes_of(entry.op, Asked(attr, constant, operands))


def _branches(op: Any) -> tuple[list[str], list[str]]:
    """Return the functions of the branches of a cond, by their numbers, and what they are called in paths."""
    if op.type in ("Case", "StatelessCase"):
        names = [one.name for one in op.get_attr("branches")]
        return names, [f"branch{index}" for index in range(len(names))]
    return [op.get_attr(f"{kind}_branch").name for kind in ("else", "then")], ["else", "then"]
