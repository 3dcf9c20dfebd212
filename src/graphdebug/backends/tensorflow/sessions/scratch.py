"""Scratch: a graph and a session of our own, in which functions of a user's graph are run once more.

Lists of tensors, which control flow v2 hands from a loop to its gradient, can be neither fetched nor fed: they
stay in the session, as long as there are handles of them, and are passed on by these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow.python.ops.session_ops import TensorHandle

from graphdebug.backends.tensorflow.sessions.calls import function_graph, is_call
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanNode
from graphdebug.backends.tensorflow.sessions.planning import make_plan
from graphdebug.backends.tensorflow.sessions.pruned import placeholder_name, pruned_graph
from graphdebug.model.site import SiteFinder

__all__ = ["Body", "Scratch", "is_variant", "sources_of"]

Given = Mapping[Any, Any]
"""Values of a body's arguments by placeholders of the scratch graph."""


@dataclass(frozen=True, slots=True)
class Body:
    """One function, ready to be run op by op."""

    plan: Plan
    prefix: str
    """Scope of its ops in the scratch graph."""
    feeds: Sequence[Any]
    """Placeholders of the scratch graph for the arguments; for a variant, for its handle."""
    assigns: Sequence[Any]
    """For each argument that is a variable, the op that gives it its value; else None."""
    places: Sequence[tuple[PlanNode, int, Any]]
    """(node, output, tensor of the scratch graph) of all that can be fetched; of a variant, its handle."""


class Scratch:
    """The functions of one graph, in a graph of our own.

    Args:
        graph: the user's.
        finder: tells the user's files.

    """

    def __init__(self, graph: Any, finder: SiteFinder) -> None:
        import tensorflow as tf

        self._graph = graph
        self._finder = finder
        self._bodies: dict[str, Body] = {}
        self._makers: dict[int, tuple[Any, dict[Any, Any]]] = {}
        self._variables = 0
        self._own = tf.Graph()
        one_core = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        self._session = tf.compat.v1.Session(graph=self._own, config=one_core)

    def body(self, name: str) -> Body:
        """Return the function called `name`."""
        found = self._bodies.get(name)
        if found is None:
            found = self._bodies[name] = self._prepare(name)
        return found

    def given(self, body: Body, values: Sequence[Any]) -> Given:
        """Return the values of a body's arguments as it is fed them; its variables are set."""
        given = {}
        for placeholder, assign, value in zip(body.feeds, body.assigns, values, strict=True):
            if assign is not None:
                self._session.run(assign, {placeholder: value})
            elif placeholder is not None:
                given[placeholder] = _fed(value)
        return given

    def run(self, body: Body, given: Given) -> dict[tuple[int, int], Any]:
        """Return all tensors of a body, by node index and output.

        Raises:
            OpError: an op in it fails.

        """
        found = self._session.run([tensor for _, _, tensor in body.places], given)
        return {(node.index, out): one for (node, out, _), one in zip(body.places, found, strict=True)}

    def run_node(self, body: Body, node: PlanNode, given: Given) -> dict[tuple[int, int], Any]:
        """Return the tensors of one node of a body, likewise."""
        here = [(output, tensor) for one, output, tensor in body.places if one is node]
        op = () if node.fed else self._own.get_operation_by_name(f"{body.prefix}/{node.op.name}")
        found, _ = self._session.run([[tensor for _, tensor in here], op], given)
        return {(node.index, output): one for (output, _), one in zip(here, found, strict=True)}

    def variant(self, tensor: Any, values: Mapping[int, Any]) -> Any:
        """Make a list of tensors of the user's graph anew; return its handle.

        Args:
            tensor: the list; its `sources_of` are known.
            values: of the sources, by tensor id.

        """
        if id(tensor) not in self._makers:
            self._makers[id(tensor)] = self._maker(tensor)
        handle, feeds = self._makers[id(tensor)]
        return self._session.run(handle, {feed: _fed(values[id(source)]) for source, feed in feeds.items()})

    def close(self) -> None:
        """Close the session; handles that outlive it have nothing to free."""
        self._session._register_dead_handle = lambda _handle: None
        self._session.close()

    def _prepare(self, name: str) -> Body:
        import tensorflow as tf

        function = function_graph(self._graph, name)
        plan = make_plan(function, function.outputs, function.control_outputs, function.inputs, self._finder)
        every = [node.op for node in plan.nodes if not node.fed]
        prefix = f"function_{len(self._bodies)}"
        definition = pruned_graph(self._graph, every, {tensor.ref(): None for tensor in function.inputs})
        with self._own.as_default():
            arguments, feeds, assigns = self._arguments(function.inputs)
            tf.import_graph_def(definition, input_map=_replace(definition, arguments), name=prefix)
            feeds = [
                self._own.get_tensor_by_name(f"{prefix}/{tensor.op.name}:0")
                if feed is None and tensor.dtype.base_dtype != tf.resource
                else feed
                for tensor, feed in zip(function.inputs, feeds, strict=True)
            ]
            passed = {id(one) for one in function.outputs}
            passed |= {id(one) for op in every if is_call(op) for one in op.inputs}
            places = []
            for node in plan.nodes:
                for output, tensor in () if node.fed else enumerate(node.op.outputs):
                    own = self._own.get_tensor_by_name(f"{prefix}/{tensor.name}")
                    if is_variant(tensor) and id(tensor) in passed:
                        places.append((node, output, tf.raw_ops.GetSessionHandle(value=own)))
                    elif not is_variant(tensor) and tensor.dtype.base_dtype != tf.resource:
                        places.append((node, output, own))
        return Body(plan, prefix, feeds, assigns, places)

    def _arguments(self, inputs: Sequence[Any]) -> tuple[dict[str, Any], list[Any], list[Any]]:
        """Make what stands in for variables and variants: by name, what it is fed, what assigns it."""
        import tensorflow as tf
        from tensorflow.python.ops import handle_data_util

        made: dict[str, Any] = {}
        feeds: list[Any]
        assigns: list[Any]
        feeds, assigns = [None] * len(inputs), [None] * len(inputs)
        for position, tensor in enumerate(inputs):
            if is_variant(tensor):
                feeds[position] = tf.compat.v1.placeholder(tf.string, [])
                made[f"{placeholder_name(tensor)}:0"] = tf.raw_ops.GetSessionTensor(
                    handle=feeds[position], dtype=tf.variant
                )
            elif tensor.dtype.base_dtype == tf.resource:
                known = handle_data_util.get_resource_handle_data(tensor).shape_and_type
                dtype = tf.dtypes.as_dtype(known[0].dtype) if known else tf.float32
                shape = tf.TensorShape(known[0].shape if known else None)
                self._variables += 1
                handle = tf.raw_ops.VarHandleOp(
                    dtype=dtype, shape=shape, shared_name=f"variable_{self._variables}"
                )
                made[f"{placeholder_name(tensor)}:0"] = handle
                if not known:
                    continue  # nothing uses it
                feeds[position] = tf.compat.v1.placeholder(dtype)
                assigns[position] = tf.raw_ops.AssignVariableOp(resource=handle, value=feeds[position])
        return made, feeds, assigns

    def _maker(self, tensor: Any) -> tuple[Any, dict[Any, Any]]:
        """Return the handle of a list made in the scratch graph, and the placeholders of its sources."""
        import tensorflow as tf

        sources, ops = _closure(tensor)
        prefix = f"list_{len(self._makers)}"
        definition = pruned_graph(tensor.graph, ops, {one.ref(): None for one in sources})
        with self._own.as_default():
            arguments, feeds, _ = self._arguments(sources)
            tf.import_graph_def(definition, input_map=_replace(definition, arguments), name=prefix)
            own = self._own.get_tensor_by_name(f"{prefix}/{tensor.name}")
            handle = tf.raw_ops.GetSessionHandle(value=own)
            names = map(placeholder_name, sources)
            placeholders = [
                self._own.get_tensor_by_name(f"{prefix}/{name}:0") if feed is None else feed
                for name, feed in zip(names, feeds, strict=True)
            ]
        return handle, dict(zip(sources, placeholders, strict=True))


def _fed(value: Any) -> Any:
    """Return a value as it is fed; of a list of tensors, the name that the session knows it by."""
    return value.handle if isinstance(value, TensorHandle) else value


def is_variant(tensor: Any) -> bool:
    """Whether a tensor is a list of tensors or another object of the runtime's own."""
    return bool(tensor.dtype.base_dtype.name == "variant")


def sources_of(tensor: Any) -> list[Any] | None:
    """Return what a list of tensors is made of, numbers and lists that calls give; None if it can't be made."""
    sources, ops = _closure(tensor)
    stateful = any(op.op_def.is_stateful for op in ops)
    unfetched = any(one.dtype.name == "resource" or one.dtype._is_ref_dtype for one in sources)
    return None if stateful or unfetched else sources


def _closure(tensor: Any) -> tuple[list[Any], list[Any]]:
    """Return the sources of a list, and the ops that make it of them, in the order they were built."""
    sources: dict[int, Any] = {}
    ops: dict[int, Any] = {}
    waiting = [tensor]
    while waiting:
        one = waiting.pop()
        if one.op.type != "Const" and (not is_variant(one) or is_call(one.op) or one.op.type == "Placeholder"):
            sources[id(one)] = one
        elif id(one.op) not in ops:
            ops[id(one.op)] = one.op
            waiting.extend(one.op.inputs)
    return list(sources.values()), sorted(ops.values(), key=lambda op: int(op._id))


def _replace(definition: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Take the placeholders out of a definition that something stands in for; return what is used of it."""
    names = {name.partition(":")[0]: name for name in arguments}
    kept = [node for node in definition.node if node.name not in names]
    used = {source.partition(":")[0] for node in kept for source in node.input}
    del definition.node[:]
    definition.node.extend(kept)
    return {name: arguments[name] for source, name in names.items() if source in used}
