"""Optimized: what the graph optimizer leaves of a function, asked beforehand and without running it."""

from __future__ import annotations

import re
from typing import Any, Literal

from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.training.saver import export_meta_graph

__all__ = ["Optimized", "plain_path"]

_LARGEST = 20_000
"""Ops of a graph beyond which the optimizer is not asked: all ops are taken to run as they are."""

_CPU = "/job:localhost/replica:0/task:0/device:CPU:0"


def plain_path(name: str) -> str:
    """Return a node's path without the numbers TensorFlow puts in when it inlines: ``while/body/_1/add``."""
    return re.sub(r"/_\d+(?=/|$)", "", name)


class Optimized:
    """The optimized form of one function."""

    def __init__(self, graph: Any) -> None:
        self._ops: dict[str, str] | None = None
        if graph is None:
            return
        try:
            self._read(graph)
        except Exception:  # the optimizer is asked as a favour: without its answer all ops count as executed
            self._ops = None

    def execution(self, op: Any, prefix: str) -> Literal["executed", "fused", "removed"]:
        """Return what became of `op`, whose path is its name behind `prefix`."""
        if self._ops is None or prefix + op.name in self._ops:
            return "executed"
        return "fused" if self._leads_to_fused(op, prefix, 4) else "removed"

    def _read(self, graph: Any) -> None:
        definition = graph.as_graph_def()
        fetches = [tensor.name for tensor in graph.outputs] + [op.name for op in graph.control_outputs]
        if len(definition.node) > _LARGEST or not fetches:
            return
        for node in definition.node:
            node.device = node.device or _CPU  # ops are fused only where it is known that they are on a CPU
        meta = export_meta_graph(graph_def=definition, graph=graph)
        meta.collection_def["train_op"].CopyFrom(
            meta_graph_pb2.CollectionDef(node_list=meta_graph_pb2.CollectionDef.NodeList(value=fetches))
        )
        left = tf_optimizer.OptimizeGraph(config_pb2.ConfigProto(), meta).node
        self._ops = {plain_path(node.name): node.op for node in left}

    def _leads_to_fused(self, op: Any, prefix: str, hops: int) -> bool:
        consumers = {one.name: one for tensor in op.outputs for one in tensor.consumers()}
        if self._ops is None or not hops or len(consumers) != 1:
            return False
        ((name, only),) = consumers.items()
        left = self._ops.get(prefix + name)
        if left is None:
            return self._leads_to_fused(only, prefix, hops - 1)
        return left.startswith(("_Fused", "_Mkl"))
