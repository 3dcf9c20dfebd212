"""Optimized: what the graph optimizer leaves of a function, asked beforehand and without running it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.ops import handle_data_util

from graphdebug.backends.tensorflow.sessions.grappler import changed_nodes

__all__ = ["Optimized", "plain_path"]

_LARGEST = 20_000
"""Ops of a function beyond which the optimizer is not asked: all ops are taken to run as they are."""

_CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
_REWRITTEN = "ArithmeticOptimizer"


def plain_path(name: str) -> str:
    """Return a node's path without the numbers TensorFlow puts in when it inlines: ``while/body/_1/add``."""
    return re.sub(r"/_\d+(?=[/:]|$)", "", name)


class Optimized:
    """The optimized form of one function, as it is and with our probes.

    Args:
        graph: its FuncGraph.
        definition: its FunctionDef; None where nothing is optimized.

    """

    def __init__(self, graph: Any, definition: Any) -> None:
        self._inputs = list(graph.inputs)
        self._left = None if definition is None else self._asked(definition)
        self._avoided: set[str] | None = set()
        self._rewritten: dict[str, list[str]] = {}
        for name in self._left or ():
            scope, _, leaf = name.rpartition("/")
            if scope.endswith(_REWRITTEN):
                self._rewritten.setdefault(scope.removesuffix(_REWRITTEN).rstrip("/"), []).append(leaf)

    def execution(self, op: Any, prefix: str) -> Literal["executed", "fused", "removed"]:
        """Return what became of `op`, whose path is its name behind `prefix`."""
        if self._left is None or prefix + op.name in self._left:
            return "executed"
        scope, _, leaf = (prefix + op.name).rpartition("/")
        if any(one.endswith(f"_{leaf}") for one in self._rewritten.get(scope, ())):
            return "fused"
        return "fused" if self._leads_to_fused(op, prefix, 4) else "removed"

    def may_probe(self, path: str) -> bool:
        """Whether a probe on the op at `path` leaves what runs as it is, as far as is known."""
        return self._avoided is not None and path not in self._avoided

    def is_kept_by(self, probed: Any) -> bool:
        """Whether the same nodes run with probes as without; where not, `may_probe` says so from now on.

        Args:
            probed: the FunctionDef of the function with probes; the runtime knows it and all it calls.

        """
        after = None if self._left is None else self._asked(probed)
        if self._left is None or after is None:
            return True
        changed = changed_nodes(self._left, after)
        if self._avoided is not None:
            near = {one.partition(":")[0] for name in changed & after.keys() for one in after[name].input}
            self._avoided |= changed | near
        return not changed

    def avoid_all(self) -> None:
        """Allow no probe any more."""
        self._avoided = None

    def _asked(self, definition: Any) -> dict[str, Any] | None:
        """Return the nodes by path that are left; those that share one, which is plumbing of loops, are not."""
        try:
            nodes = self._optimize(definition)
        except Exception:  # the optimizer is asked as a favour: without its answer all ops count as executed
            return None
        times = Counter(plain_path(node.name) for node in nodes)
        by_name = {node.name: node for node in nodes}
        inputs = {
            name: [plain_path(_source(one, by_name)) for one in node.input] for name, node in by_name.items()
        }
        found = {}
        for name, node in by_name.items():
            path = plain_path(name)
            if times[path] == 1:
                node.name = path
                node.input[:] = inputs[name]
                found[path] = node
        return found or None

    def _optimize(self, definition: Any) -> Any:
        graph, flat = function_def_to_graph_def(definition, include_library_functions=True)
        fetches = [flat[definition.ret[one.name]] for one in definition.signature.output_arg]
        fetches += list(definition.control_ret.values())
        if len(graph.node) > _LARGEST or not fetches:
            return ()
        for node, tensor in zip(list(graph.node), self._inputs, strict=False):
            _tell_shape(graph, node, tensor)
        for node in graph.node:
            node.device = node.device or _CPU  # ops are fused only where it is known that they are on a CPU
        meta = meta_graph_pb2.MetaGraphDef(graph_def=graph)
        meta.collection_def["train_op"].node_list.value.extend(fetches)
        return tf_optimizer.OptimizeGraph(context.context().config, meta).node

    def _leads_to_fused(self, op: Any, prefix: str, hops: int) -> bool:
        consumers = {one.name: one for tensor in op.outputs for one in tensor.consumers()}
        if self._left is None or not hops or len(consumers) != 1:
            return False
        ((name, only),) = consumers.items()
        left = self._left.get(prefix + name)
        if left is None:
            return self._leads_to_fused(only, prefix, hops - 1)
        return str(left.op).startswith(("_Fused", "_Mkl"))


def _source(name: str, nodes: Mapping[str, Any]) -> str:
    """Return the tensor that an input is, seen through the plumbing of calls, whose names are not their own."""
    while not name.startswith("^"):
        base, _, output = name.partition(":")
        node = nodes.get(base)
        if node is None or node.op not in ("Identity", "IdentityN") or node.input[0].startswith("^"):
            break
        name = node.input[int(output or 0)]
    return name


def _tell_shape(graph: Any, node: Any, tensor: Any) -> None:
    """Tell the optimizer the shape of an argument, which the runtime knows and a placeholder hides."""
    node.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
    if tensor.dtype != tf.resource:
        given = graph.node.add(name=f"{node.name}/given", op="Placeholder")
        given.attr["dtype"].type = tensor.dtype.as_datatype_enum
        given.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
        node.op = "EnsureShape"
        node.input.append(given.name)
        node.ClearField("attr")
        node.attr["T"].type = tensor.dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
        return
    data = handle_data_util.get_resource_handle_data(tensor)
    if data is not None and data.is_set and len(data.shape_and_type) == 1:
        node.op = "VarHandleOp"
        node.ClearField("attr")
        node.attr["dtype"].type = data.shape_and_type[0].dtype
        node.attr["shape"].shape.CopyFrom(data.shape_and_type[0].shape)
        node.attr["shared_name"].s = node.name.encode()
