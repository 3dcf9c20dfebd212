"""A plan's nodes as a GraphDef of their own, feeds as placeholders: to optimise, or to infer shapes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from graphdebug.backends.tensorflow.facts import shape_of
from graphdebug.model.event import Shape

__all__ = ["infer_shapes", "optimised_nodes", "placeholder_name", "pruned_graph"]

_DEVICE = "/job:localhost/replica:0/task:0/device:CPU:0"


def pruned_graph(graph: Any, ops: Sequence[Any], feeds: Mapping[Any, Shape | None]) -> Any:
    """Return a GraphDef of `ops` in which every fed tensor is a placeholder.

    Args:
        graph: the graph of `ops`; gives the functions they call.
        ops: the ops, in the order they were built.
        feeds: fed tensors by ``Tensor.ref()``, with the shape to pin, or None to leave it as it was declared.

    """
    from tensorflow.core.framework import graph_pb2, node_def_pb2

    definition = graph_pb2.GraphDef()
    definition.versions.CopyFrom(graph.graph_def_versions)
    definition.library.CopyFrom(graph.as_graph_def(from_version=graph.version).library)
    renamed: dict[str, str] = {}
    for ref, shape in feeds.items():
        tensor = ref.deref()
        name = placeholder_name(tensor)
        renamed[_input_name(tensor)] = name
        node = node_def_pb2.NodeDef(name=name, op="Placeholder")
        node.attr["dtype"].type = tensor.dtype.base_dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(_shape_proto(tensor.shape if shape is None else shape))
        definition.node.append(node)
    made = {node.name for node in definition.node}
    for op in ops:
        if op.name in made:
            continue
        node = op.node_def
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
        node.attr.pop("_class", None)
        definition.node.append(node)
    return definition


def placeholder_name(tensor: Any) -> str:
    """Return the name of the placeholder that stands in for a fed tensor."""
    name = str(tensor.op.name)
    return name if len(tensor.op.outputs) == 1 else f"{name}_fed_{tensor.value_index}"


def optimised_nodes(definition: Any, roots: Sequence[str], config: Any) -> dict[str, Any]:
    """Return the NodeDefs by name that are left when TensorFlow's graph optimizer has seen `definition`.

    Args:
        definition: a GraphDef, as `pruned_graph` makes it.
        roots: names of the ops that are fetched or run.
        config: the session's ConfigProto; it may switch optimisations off.

    """
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.framework import meta_graph
    from tensorflow.python.grappler import tf_optimizer

    placed = type(definition)()
    placed.CopyFrom(definition)
    for node in placed.node:
        node.device = node.device or _DEVICE
    with tf.Graph().as_default() as scratch:
        tf.import_graph_def(placed, name="")
        meta, _ = meta_graph.export_scoped_meta_graph(graph=scratch, graph_def=scratch.as_graph_def())
    meta.collection_def["train_op"].node_list.value.extend(roots)
    config = config or config_pb2.ConfigProto()
    optimised = tf_optimizer.OptimizeGraph(config, meta, False, b"pruned", _machine())
    return {node.name: node for node in optimised.node}


@cache
def _machine() -> Any:
    """Return a CPU as the graph optimizer sees it, without starting a session to measure a real one."""
    from tensorflow.core.protobuf import device_properties_pb2
    from tensorflow.python.grappler import cluster

    device = device_properties_pb2.NamedDevice(name=_DEVICE)
    device.properties.type = "CPU"
    device.properties.num_cores = 1
    device.properties.frequency = 2000  # MHz; without it the cost estimator complains on stderr
    return cluster.Cluster(devices=[device])


def infer_shapes(definition: Any) -> dict[str, list[Shape | None]]:
    """Return the shapes of each node's outputs, inferred by TensorFlow without running anything.

    Raises:
        ValueError: TensorFlow's own, where shapes do not fit.

    """
    import tensorflow as tf

    with tf.Graph().as_default() as scratch:
        tf.import_graph_def(definition, name="")
        return {op.name: [shape_of(tensor.shape) for tensor in op.outputs] for op in scratch.get_operations()}


def _input_name(tensor: Any) -> str:
    """Return a tensor's name as node inputs have it: without ``:0``."""
    return tensor.op.name if tensor.value_index == 0 else str(tensor.name)


def _shape_proto(shape: Any) -> Any:
    import tensorflow as tf

    return tf.TensorShape(shape).as_proto()
