"""Opening function bodies: the real ops inside calls, branches and loops of control flow v2.

A session runs them out of sight. Their inputs are fetched with the run, and a body without side effects is
run once more from those, op by op, in a graph of our own: it gives what the session saw, iteration by
iteration. The user's graph and variables are not touched.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from tensorflow.python.framework.errors_impl import OpError

from graphdebug.backends.tensorflow.facts import array_fact, dtype_word
from graphdebug.backends.tensorflow.sessions.calls import (
    CALLS,
    function_graph,
    function_ops,
    functions_of,
    is_call,
    is_pure,
)
from graphdebug.backends.tensorflow.sessions.gradients import differentiated, name_after
from graphdebug.backends.tensorflow.sessions.listing import add_unseen
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanNode
from graphdebug.backends.tensorflow.sessions.planning import make_plan, plan_input
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.backends.tensorflow.sessions.scratch import Body, Scratch, is_variant
from graphdebug.model.event import Level, Operand
from graphdebug.model.site import SiteFinder

__all__ = ["Bodies", "BodyError", "Opened", "Round"]

_LONGEST_LOOP = 10_000


class BodyError(Exception):
    """An op inside a body failed when it was run again: which, and what is known of its run."""

    def __init__(self, node: PlanNode, facts: RunFacts, message: str) -> None:
        super().__init__(message)
        self.node = node
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a function: by the names of its ops, their nodes, and what ran in those that call others."""

    nodes: dict[str, tuple[int, PlanNode]] = field(default_factory=dict)
    """With their numbers."""
    calls: dict[str, Sequence[Round]] = field(default_factory=dict)


class Opened(NamedTuple):
    """A call whose functions were run once more."""

    outputs: list[Any]
    rounds: list[Round]
    """In the order they ran; one of a function or branch."""


class Bodies:
    """The functions of one graph.

    Args:
        graph: the graph that holds the functions.
        finder: tells the user's files.
        level: how much to record of each tensor.

    """

    def __init__(self, graph: Any, finder: SiteFinder, level: Level) -> None:
        self._graph = graph
        self._finder = finder
        self._level = level
        self._scratch = Scratch(graph, finder)
        self.lock = threading.RLock()
        """Held while a run is opened: there is one scratch session."""

    def open(
        self, call: PlanNode, values: Sequence[Any], operands: Sequence[Operand], writer: NodeWriter,
        forward: Sequence[Round] = (),
    ) -> Opened:  # fmt: skip
        """Run the functions of `call` from the values of its inputs, and add their nodes.

        Args:
            call: the node that calls them.
            values: of its inputs.
            operands: what its inputs are.
            writer: of the nodes.
            forward: what ran in the call that this one is the gradient of.

        Raises:
            BodyError: an op in them fails, as it will have in the session.

        """
        kind = call.op.type.removeprefix("Stateless")
        rounds: list[Round] = []
        if kind == "While":
            return Opened(self._loop(call, values, operands, writer, rounds, forward), rounds)
        name = functions_of(call.op)[0]
        if kind in ("If", "Case"):
            name, values, operands = _branch(call.op, values[0]), values[1:], operands[1:]
        called = self._call(name, call, values, operands, writer, forward=next(iter(forward), Round()))
        rounds.append(called.round)
        return Opened(called.outputs, rounds)

    def locate(
        self, call: PlanNode, name: str, operands: Sequence[Operand], writer: NodeWriter
    ) -> BodyError | None:
        """Return the op inside `call` that the runtime calls `name`, and add what led to it, running nothing.

        None where there is no such op, or several.
        """
        last, found = name.rpartition("/")[2], []
        for op in function_ops(self._graph, call.op):
            if op.name.rpartition("/")[2] == last and op not in found:
                found.append(op)
        if len(found) != 1:
            return None
        function, outer = found[0].graph, {}
        if call.op.type not in CALLS or call.op.type.endswith("PartitionedCall"):
            own = function.name == functions_of(call.op)[0]
            outer = {id(one): it for one, it in zip(function.inputs, operands, strict=False) if own}
        return self.tell(found[0], call.op.name, writer, outer)

    def tell(
        self, op: Any, prefix: str, writer: NodeWriter, outer: Mapping[int, Operand] = MappingProxyType({})
    ) -> BodyError:
        """Return an op of a function as one that failed, and add what led to it there, running nothing.

        Args:
            op: what failed.
            prefix: name of what runs the function.
            writer: of the nodes.
            outer: what the function's arguments are, by the id of their tensors, where it is known.

        """
        function = op.graph
        plan = make_plan(function, (), [op], function.inputs, self._finder)
        facts = add_unseen(plan, plan.nodes[:-1], prefix, writer, outer)
        return BodyError(plan.nodes[-1], facts, str(op.name))

    def list_ops(self, call: PlanNode, operands: Sequence[Operand], writer: NodeWriter) -> None:
        """Add the nodes of the function of `call` as they were built: it can't be run once more."""
        function = function_graph(self._graph, functions_of(call.op)[0])
        plan = make_plan(function, function.outputs, function.control_outputs, function.inputs, self._finder)
        outer = {id(one): operand for one, operand in zip(function.inputs, operands, strict=True)}
        add_unseen(plan, plan.nodes, call.op.name, writer, outer)

    def make(self, tensor: Any, values: Mapping[int, Any]) -> Any:
        """Return the handle of a list of tensors of the user's graph, made anew of `values` (by tensor id)."""
        return self._scratch.variant(tensor, values)

    def close(self) -> None:
        """Close the scratch session."""
        self._scratch.close()

    def _loop(
        self, call: PlanNode, values: Sequence[Any], operands: Sequence[Operand], writer: NodeWriter,
        rounds: list[Round], forward: Sequence[Round],
    ) -> list[Any]:  # fmt: skip
        condition, body = (call.op.get_attr(name).name for name in ("cond", "body"))
        now, known = list(values), list(operands)
        for turn in range(_LONGEST_LOOP):
            if not self._call(condition, call, now, known, writer).outputs[0]:
                break
            its = forward[-1 - turn] if turn < len(forward) else Round()  # a gradient goes round the other way
            called = self._call(body, call, now, known, writer, forward=its)
            rounds.append(called.round)
            now, known = called.outputs, called.operands
        return now

    def _call(
        self, name: str, call: PlanNode, values: Sequence[Any], operands: Sequence[Operand],
        writer: NodeWriter, forward: Round | None = None,
    ) -> _Called:  # fmt: skip
        body = self._scratch.body(name)
        inputs, outputs = body.plan.feeds, body.plan.fetches
        outer = {id(tensor): operand for tensor, operand in zip(inputs, operands, strict=True)}
        passed = {id(tensor): value for tensor, value in zip(inputs, values, strict=True)}
        given = self._scratch.given(body, values)
        try:
            arrays = self._scratch.run(body, given)
        except OpError as error:
            self._trace(body, given, passed, call, outer, writer, str(error.message))
            raise
        facts = self._facts(body, arrays, outer)
        known = {**passed, **_by_tensor(body, arrays)}
        calls = self._write(body, facts, call, known, writer, forward or Round())
        nodes = body.plan.nodes
        return _Called(
            [known.get(id(tensor)) for tensor in outputs],
            [facts.operand(one) for one in _as_inputs(body.plan, outputs)],
            Round({nodes[index].op.name: (seq, nodes[index]) for index, seq in facts.seqs.items()}, calls),
        )

    def _write(
        self, body: Body, facts: RunFacts, call: PlanNode, known: dict[int, Any], writer: NodeWriter,
        forward: Round,
    ) -> dict[str, Sequence[Round]]:  # fmt: skip
        """Add the nodes of a body that ran; return what ran in its calls."""
        inner = writer.for_facts(facts)
        calls: dict[str, Sequence[Round]] = {}
        for node in body.plan.nodes:
            if node.fed or not facts.probed.recorded[node.index]:
                continue
            if is_call(node.op) and is_pure(self._graph, node.op):
                its_calls = forward.calls.get(differentiated(node.op.name), ())
                calls[node.op.name] = self._open_within(node, known, facts, inner, its_calls)
            elif node.op.type == "Identity" and id(node.op.inputs[0]) in known:
                known.setdefault(id(node.op.outputs[0]), known[id(node.op.inputs[0])])
            node.phase = "backward" if call.phase == "backward" else node.phase
            seq, its = forward.nodes.get(differentiated(node.op.name), (None, None))
            if its is not None:
                name_after(node, its)
            inner.add(node, "executed", prefix=call.op.name, forward=seq)
        return calls

    def _open_within(
        self, node: PlanNode, known: dict[int, Any], facts: RunFacts, writer: NodeWriter,
        forward: Sequence[Round] = (),
    ) -> Sequence[Round]:  # fmt: skip
        """Open a call in a body, if all that it is given is known; return what ran in it."""
        values = [known.get(id(one.tensor)) for one in node.inputs]
        if any(value is None for value in values):
            return ()
        operands = [facts.operand(one) for one in node.inputs]
        opened = self.open(node, values, operands, writer, forward)
        for tensor, value in zip(node.op.outputs, opened.outputs, strict=True):
            known.setdefault(id(tensor), value)  # a variable that it hands on
        return opened.rounds

    def _trace(
        self, body: Body, given: Mapping[Any, Any], passed: Mapping[int, Any], call: PlanNode,
        outer: Mapping[int, Operand], writer: NodeWriter, message: str,
    ) -> None:  # fmt: skip
        """Run a failing body op by op: add the nodes that go well, raise a BodyError for the one that fails."""
        arrays: dict[tuple[int, int], Any] = {}
        for node in body.plan.nodes:
            try:
                arrays |= self._scratch.run_node(body, node, given)
            except OpError:
                facts = self._facts(body, arrays, outer)
                inner = writer.for_facts(facts)
                for done in body.plan.nodes[: node.index]:
                    if not done.fed:
                        inner.add(done, "executed", prefix=call.op.name)
                if is_call(node.op) and is_pure(self._graph, node.op):
                    with suppress(OpError):
                        self._open_within(node, {**passed, **_by_tensor(body, arrays)}, facts, inner)
                raise BodyError(node, facts, message) from None

    def _facts(
        self, body: Body, arrays: Mapping[tuple[int, int], Any], outer: Mapping[int, Operand]
    ) -> RunFacts:
        nodes = body.plan.nodes
        facts = {}
        for (index, output), array in arrays.items():
            tensor = nodes[index].op.outputs[output]
            if not is_variant(tensor):
                facts[index, output] = array_fact(
                    np.asarray(array), self._level, dtype=dtype_word(tensor.dtype)
                )
        count = len(nodes)
        probed = Probed(body.plan, self._level, ["executed"] * count, [True] * count, {})
        return RunFacts(probed, facts, {}, {}, outer)


class _Called(NamedTuple):
    """One function that was run once more."""

    outputs: list[Any]
    operands: list[Operand]
    """What its outputs are."""
    round: Round


def _branch(op: Any, chosen: Any) -> str:
    if "If" in op.type:
        return str(op.get_attr("then_branch" if bool(chosen) else "else_branch").name)
    branches = op.get_attr("branches")
    position = int(chosen)
    return str(branches[position if 0 <= position < len(branches) else -1].name)


def _by_tensor(body: Body, arrays: Mapping[tuple[int, int], Any]) -> dict[int, Any]:
    """Return values by the id of the tensor in the user's graph."""
    nodes = body.plan.nodes
    return {id(nodes[index].op.outputs[output]): array for (index, output), array in arrays.items()}


def _as_inputs(plan: Plan, tensors: Sequence[Any]) -> list[Any]:
    fed = {id(tensor) for tensor in plan.feeds}
    return [plan_input(tensor, "", plan.index, fed) for tensor in tensors]
