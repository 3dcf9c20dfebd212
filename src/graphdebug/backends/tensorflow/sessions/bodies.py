"""Opening function bodies: the real ops inside calls, branches and loops of control flow v2.

A session runs them out of sight. Their inputs are fetched with the run, and a body without side effects is
run once more from those, op by op, in a graph of our own: it gives what the session saw, iteration by
iteration. The user's graph and variables are not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphdebug.backends.tensorflow.facts import array_fact, dtype_word, static_fact
from graphdebug.backends.tensorflow.sessions.calls import (
    CALLS,
    function_graph,
    function_ops,
    functions_of,
    is_call,
    is_pure,
)
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanNode, make_plan
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.backends.tensorflow.sessions.pruned import pruned_graph
from graphdebug.model.event import Level, Operand
from graphdebug.model.site import SiteFinder

__all__ = ["Bodies", "BodyError"]

_LONGEST_LOOP = 10_000


class BodyError(Exception):
    """An op inside a body failed when it was run again: which, and what is known of its run."""

    def __init__(self, node: PlanNode, facts: RunFacts, message: str) -> None:
        super().__init__(message)
        self.node = node
        self.facts = facts


@dataclass(slots=True)
class _Body:
    """One function, ready to be run op by op."""

    plan: Plan
    session: Any
    feeds: Sequence[Any]
    """Placeholders of the scratch graph for the arguments; None for one that nothing uses."""
    assigns: Sequence[Any]
    """For each argument that is a variable, the op that gives it its value; else None."""
    tensors: Sequence[tuple[int, int, Any]]
    """(node index, output, tensor of the scratch graph) of all that can be fetched."""


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
        self._bodies: dict[str, _Body] = {}

    def open(
        self, call: PlanNode, values: Sequence[Any], operands: Sequence[Operand], writer: NodeWriter
    ) -> list[Any]:
        """Run the body of `call` from the values of its inputs, add its nodes, and return its outputs.

        Raises:
            BodyError: an op in it fails, as it will have in the session.

        """
        kind = call.op.type.removeprefix("Stateless")
        if kind == "While":
            return self._loop(call, values, operands, writer)
        if kind in ("If", "Case"):
            name = _branch(call.op, values[0])
            return self._call(name, call, values[1:], operands[1:], writer)
        return self._call(functions_of(call.op)[0], call, values, operands, writer)

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
        function = found[0].graph
        plan = make_plan(function, (), found, function.inputs, self._finder)
        count = len(plan.nodes)
        probed = Probed(plan, self._level, ["inferred"] * count, [True] * count, {})
        outer = {id(one): Operand(static_fact(one), name=one.op.name) for one in function.inputs}
        if call.op.type not in CALLS or call.op.type.endswith("PartitionedCall"):
            own = function.name == functions_of(call.op)[0]
            outer |= {id(one): it for one, it in zip(function.inputs, operands, strict=False) if own}
        facts = RunFacts(probed, {}, {}, {}, outer)
        inner = writer.for_facts(facts)
        for node in plan.nodes[:-1]:
            if not node.fed:
                inner.add(node, "inferred", prefix=call.op.name)
        return BodyError(plan.nodes[-1], facts, name)

    def _loop(
        self, call: PlanNode, values: Sequence[Any], operands: Sequence[Operand], writer: NodeWriter
    ) -> list[Any]:
        condition, body = (call.op.get_attr(name).name for name in ("cond", "body"))
        now, known = list(values), list(operands)
        for _ in range(_LONGEST_LOOP):
            (go_on,) = self._call(condition, call, now, known, writer)
            if not go_on:
                break
            facts: list[Operand] = []
            now = self._call(body, call, now, known, writer, facts)
            known = facts
        return now

    def _call(
        self, name: str, call: PlanNode, values: Sequence[Any], operands: Sequence[Operand],
        writer: NodeWriter, results: list[Operand] | None = None,
    ) -> list[Any]:  # fmt: skip
        body = self._bodies.get(name) or self._prepare(name)
        self._bodies[name] = body
        given = self._feed(body, values)
        inputs = body.plan.feeds
        outer = {id(tensor): operand for tensor, operand in zip(inputs, operands, strict=True)}
        arrays = self._run(body, given, call, outer, writer)
        facts = self._facts(body, arrays, outer)
        self._write(body, facts, call, arrays, writer)
        by_place = {
            id(body.plan.nodes[index].op.outputs[output]): array for (index, output), array in arrays.items()
        }
        by_place |= {id(tensor): value for tensor, value in zip(inputs, values, strict=True)}
        fetched = body.plan.fetches
        if results is not None:
            results.extend(facts.operand(one) for one in _as_inputs(body.plan, fetched))
        return [by_place.get(id(tensor)) for tensor in fetched]

    def _write(
        self,
        body: _Body,
        facts: RunFacts,
        call: PlanNode,
        arrays: Mapping[tuple[int, int], Any],
        writer: NodeWriter,
    ) -> None:
        inner = writer.for_facts(facts)
        for node in body.plan.nodes:
            if node.fed or not facts.probed.recorded[node.index]:
                continue
            if is_call(node.op) and is_pure(self._graph, node.op):
                values = [_value(body, arrays, one.tensor) for one in node.inputs]
                if all(value is not None for value in values):
                    self.open(node, values, [facts.operand(one) for one in node.inputs], inner)
            node.phase = "backward" if call.phase == "backward" else node.phase
            inner.add(node, "executed", prefix=call.op.name)

    def _run(
        self,
        body: _Body,
        given: Mapping[Any, Any],
        call: PlanNode,
        outer: Mapping[int, Operand],
        writer: NodeWriter,
    ) -> dict[tuple[int, int], Any]:
        """Fetch all tensors of a body; if one fails, add what led to it and say which."""
        import tensorflow as tf

        fetched = [tensor for _, _, tensor in body.tensors]
        places = [(index, output) for index, output, _ in body.tensors]
        try:
            arrays = body.session.run(fetched, given)
        except tf.errors.OpError as error:
            self._trace(body, given, call, outer, writer, str(error.message))
            raise
        return dict(zip(places, arrays, strict=True))

    def _trace(
        self, body: _Body, given: Mapping[Any, Any], call: PlanNode, outer: Mapping[int, Operand],
        writer: NodeWriter, message: str,
    ) -> None:  # fmt: skip
        """Run a failing body op by op: add the nodes that go well, raise a BodyError for the one that fails."""
        import tensorflow as tf

        arrays: dict[tuple[int, int], Any] = {}
        for node in body.plan.nodes:
            here = [(output, tensor) for index, output, tensor in body.tensors if index == node.index]
            try:
                op = body.session.graph.get_operation_by_name(node.op.name) if not node.fed else ()
                found, _ = body.session.run([[tensor for _, tensor in here], op], given)
            except tf.errors.OpError:
                facts = self._facts(body, arrays, outer)
                inner = writer.for_facts(facts)
                for done in body.plan.nodes[: node.index]:
                    if not done.fed:
                        inner.add(done, "executed", prefix=call.op.name)
                self._descend(body, node, arrays, given, facts, inner)
                raise BodyError(node, facts, message) from None
            arrays |= {(node.index, output): array for (output, _), array in zip(here, found, strict=True)}

    def _descend(
        self, body: _Body, node: PlanNode, arrays: Mapping[tuple[int, int], Any], given: Mapping[Any, Any],
        facts: RunFacts, writer: NodeWriter,
    ) -> None:  # fmt: skip
        """Open the failing node of a body if it is a call itself; raise the BodyError of what fails in it."""
        import tensorflow as tf

        if not is_call(node.op) or not is_pure(self._graph, node.op):
            return
        passed = {
            id(tensor): given.get(placeholder)
            for tensor, placeholder in zip(body.plan.feeds, body.feeds, strict=True)
        }
        values = [
            passed[id(one.tensor)] if id(one.tensor) in passed else _value(body, arrays, one.tensor)
            for one in node.inputs
        ]
        if any(value is None for value in values):
            return
        with suppress(tf.errors.OpError):
            self.open(node, values, [facts.operand(one) for one in node.inputs], writer)

    def _facts(
        self, body: _Body, arrays: Mapping[tuple[int, int], Any], outer: Mapping[int, Operand]
    ) -> RunFacts:
        nodes = body.plan.nodes
        facts = {
            (index, output): array_fact(
                np.asarray(array), self._level, dtype=dtype_word(nodes[index].op.outputs[output].dtype)
            )
            for (index, output), array in arrays.items()
        }
        count = len(nodes)
        probed = Probed(body.plan, self._level, ["executed"] * count, [True] * count, {})
        return RunFacts(probed, facts, {}, {}, outer)

    def _feed(self, body: _Body, values: Sequence[Any]) -> dict[Any, Any]:
        given = {}
        for placeholder, assign, value in zip(body.feeds, body.assigns, values, strict=True):
            if assign is not None:
                body.session.run(assign, {placeholder: value})
            elif placeholder is not None:
                given[placeholder] = value
        return given

    def _prepare(self, name: str) -> _Body:
        import tensorflow as tf

        function = function_graph(self._graph, name)
        plan = make_plan(function, function.outputs, function.control_outputs, function.inputs, self._finder)
        every = [node.op for node in plan.nodes if not node.fed]
        feeds = {tensor.ref(): None for tensor in function.inputs}
        definition = pruned_graph(self._graph, every, feeds)
        with tf.Graph().as_default() as scratch:
            variables = _variables_for_resources(definition, function.inputs)
            tf.import_graph_def(definition, input_map=variables, name="")
            placeholders, assigns = _arguments(function.inputs, variables, scratch)
            tensors = [
                (node.index, output, scratch.get_tensor_by_name(tensor.name))
                for node in plan.nodes if not node.fed
                for output, tensor in enumerate(node.op.outputs)
                if tensor.dtype.base_dtype not in (tf.resource, tf.variant)
            ]  # fmt: skip
        one_core = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        session = tf.compat.v1.Session(graph=scratch, config=one_core)
        return _Body(plan, session, placeholders, assigns, tensors)

    def close(self) -> None:
        """Close the scratch sessions."""
        for body in self._bodies.values():
            body.session.close()
        self._bodies.clear()


def _branch(op: Any, chosen: Any) -> str:
    if "If" in op.type:
        return str(op.get_attr("then_branch" if bool(chosen) else "else_branch").name)
    branches = op.get_attr("branches")
    position = int(chosen)
    return str(branches[position if 0 <= position < len(branches) else -1].name)


def _value(body: _Body, arrays: Mapping[tuple[int, int], Any], tensor: Any) -> Any:
    position = body.plan.index.get(tensor.op.name)
    return None if position is None else arrays.get((position, tensor.value_index))


def _as_inputs(plan: Plan, tensors: Sequence[Any]) -> list[Any]:
    from graphdebug.backends.tensorflow.sessions.plan import plan_input

    fed = {id(tensor) for tensor in plan.feeds}
    return [plan_input(tensor, "", plan.index, fed) for tensor in tensors]


def _variables_for_resources(definition: Any, inputs: Sequence[Any]) -> dict[str, Any]:
    """Make a variable of our own for each resource argument, and take its placeholder out of `definition`."""
    import tensorflow as tf
    from tensorflow.python.ops import handle_data_util

    made: dict[str, Any] = {}
    for tensor in inputs:
        if tensor.dtype.base_dtype != tf.resource:
            continue
        data = handle_data_util.get_resource_handle_data(tensor).shape_and_type[0]
        shape, dtype = tf.TensorShape(data.shape), tf.dtypes.as_dtype(data.dtype)
        made[tensor.name] = tf.raw_ops.VarHandleOp(dtype=dtype, shape=shape, shared_name=f"v{len(made)}")
    gone = {name.partition(":")[0] for name in made}
    kept = [node for node in definition.node if node.name not in gone]
    del definition.node[:]
    definition.node.extend(kept)
    return made


def _arguments(
    inputs: Sequence[Any], variables: Mapping[str, Any], scratch: Any
) -> tuple[list[Any], list[Any]]:
    import tensorflow as tf

    placeholders: list[Any] = []
    assigns: list[Any] = []
    for tensor in inputs:
        handle = variables.get(tensor.name)
        if handle is None:
            placeholders.append(scratch.get_tensor_by_name(f"{tensor.op.name}:0"))
            assigns.append(None)
            continue
        dtype = tf.dtypes.as_dtype(handle.op.get_attr("dtype"))
        value = tf.compat.v1.placeholder(dtype)
        placeholders.append(value)
        assigns.append(tf.raw_ops.AssignVariableOp(resource=handle, value=value))
    return placeholders, assigns
