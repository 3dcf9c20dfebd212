"""Copying: a function's definition made of the nodes that the runtime runs for it, to which nodes are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, function_pb2
from tensorflow.python.eager.polymorphic_function.atomic_function import AtomicFunction
from tensorflow.python.framework import op_def_registry

from graphdebug.backends.tensorflow.sums import spared
from graphdebug.backends.tensorflow.two.optimized import Optimized, unoptimized

__all__ = ["PREFIX", "Copy"]

PREFIX = "graphdebug"
"""What the names of all added nodes begin with."""


class Copy:
    """A function definition to which nodes are added.

    Args:
        definition: the user's function; it is not changed.
        optimized: what the runtime has made of it, with calls inlined, loops and branches lowered, and
            optimized; it runs as it is.

    """

    def __init__(self, definition: function_pb2.FunctionDef, optimized: Optimized) -> None:
        self.definition = function_pb2.FunctionDef()
        self.definition.CopyFrom(definition)
        self.last = ""
        """The node that was added last."""
        self.keeps = False
        """Whether something is put aside in it."""
        self._count = 0
        self._outputs: dict[str, list[str]] = {}
        self._spared = spared(optimized.graph.node)
        self._read: dict[tuple[str, int], str] = {}
        self._fill(optimized.graph, optimized.functions)

    def _fill(self, graph: Any, functions: Mapping[str, Any]) -> None:
        own, signature = self.definition, self.definition.signature
        del own.node_def[:]
        for node in graph.node:
            if node.op in functions:
                results = range(len(functions[node.op].signature.output_arg))
                self._outputs[node.name] = [f"{node.name}:output:{index}" for index in results]
            elif node.op == "_Arg":
                signature.input_arg[node.attr["index"].i].name = node.name
                self._outputs[node.name] = [node.name]
            else:
                self._outputs[node.name] = _output_names(node)
        for node in graph.node:
            if node.op == "_Retval":
                own.ret[signature.output_arg[node.attr["index"].i].name] = self.named(node.input[0])
            elif node.op != "_Arg":
                added = own.node_def.add()
                added.CopyFrom(node)
                added.input[:] = [self.named(one) for one in node.input]
                added.attr.pop("_class", None)  # all is placed: with what does not matter any more
                if node.op in functions:
                    _make_call(added, functions[node.op].signature)
        for key, name in list(own.control_ret.items()):
            if name not in self._outputs:
                del own.control_ret[key]
        signature.control_output[:] = [one for one in signature.control_output if one in own.control_ret]

    def named(self, tensor: str) -> str:
        """Return the name that a tensor of the graph (``MatMul``, ``Switch:1``) has in a definition."""
        name, _, output = tensor.partition(":")
        return tensor if tensor.startswith("^") else self._outputs[name][int(output or 0)]

    def outputs(self, node: Any) -> list[str]:
        """Return the names of the outputs of a node."""
        return self._outputs[node.name]

    def readable(self, node: Any, output: int, dtype: tf.DType) -> str:
        """Return the name of an output of a node that may be read at any time: itself, or a copy of it where
        a sum needs its memory; the sum waits for the copying, which is done with it then.
        """
        place, name = (node.name, output), self._outputs[node.name][output]
        if place not in self._spared:
            return name
        if place not in self._read:
            self._read[place] = self.add("DeepCopy", [name], {"T": dtype}, "y", node.device)
            for one in self.definition.node_def:
                if one.name in self._spared[place]:
                    one.input.append(f"^{self.last}")
        return self._read[place]

    def put_aside(self, key: str, tensors: Sequence[str], dtypes: Sequence[tf.DType]) -> str:
        """Keep tensors under `key` until they are taken from there, each time they are computed."""
        name = f"{PREFIX}/{key}"
        self.add("Stage", tensors, {"dtypes": list(dtypes), "shared_name": key}, "", name=name)
        self.definition.signature.is_stateful = self.keeps = True
        return name

    def next_round_waits(self, frame: str, name: str) -> None:
        """Let each round of a loop begin when `name` has run in the one before."""
        entered = {
            node.name for node in self.definition.node_def
            if node.op == "Enter" and node.attr["frame_name"].s.decode() == frame
        }  # fmt: skip
        again = {
            one.partition(":")[0]
            for node in self.definition.node_def
            if node.op == "Merge" and entered & {one.partition(":")[0] for one in node.input}
            for one in node.input
        }
        for node in self.definition.node_def:
            if node.name in again and node.op == "NextIteration":
                node.input.append(f"^{name}")

    def hand_out(self, floats: str, ints: str) -> tuple[bool, bool]:
        """Make the packed vectors outputs of the function."""
        for tensor, dtype in ((floats, tf.float32), (ints, tf.int64)):
            if tensor:
                argument = self.definition.signature.output_arg.add()
                argument.name = f"{PREFIX}_{dtype.name}"
                argument.type = dtype.as_datatype_enum
                self.definition.ret[argument.name] = tensor
        return bool(floats), bool(ints)

    def call_instead(self, node: Any, name: str, dtypes: Sequence[tf.DType], config: bytes) -> list[str]:
        """Let a node call another function, which gives more; return what it gives more.

        Args:
            node: of the graph; it calls a function.
            name: of the function to call, in the runtime.
            dtypes: of what it gives more.
            config: how it is called (a ConfigProto).

        """
        own = next(one for one in self.definition.node_def if one.name == node.name)
        own.op = "StatefulPartitionedCall"
        own.attr["f"].func.name = name
        own.attr["config_proto"].s = config
        given = own.attr["Tout"].list.type
        first = len(given)
        given.extend(dtype.as_datatype_enum for dtype in dtypes)
        return [f"{node.name}:output:{first + position}" for position in range(len(dtypes))]

    def register(self, context: Any, name: str) -> None:
        """Make the copy known to the runtime under `name`."""
        self.definition.signature.name = name
        context.add_function_def(self.definition)

    def add(
        self, op: str, inputs: Sequence[str], attrs: Mapping[str, Any], output: str, device: str = "",
        name: str = "", after: str = "",
    ) -> str:  # fmt: skip
        """Add a node, which waits for the node `after`; return its output, as a definition names it."""
        self._count += 1
        self.last = name or f"{PREFIX}/{op}_{self._count}"
        node = self.definition.node_def.add()
        node.name = self.last
        node.op = op
        node.device = device
        node.input.extend([*inputs, *([f"^{after}"] if after else ())])
        for key, value in attrs.items():
            node.attr[key].CopyFrom(_attribute(value))
        return f"{node.name}:{output}:0"


def _make_call(node: Any, signature: Any) -> None:
    """Have a function that Defun made called as others are; it is not optimized either way."""
    node.attr.clear()
    for key, arguments in (("Tin", signature.input_arg), ("Tout", signature.output_arg)):
        node.attr[key].CopyFrom(_attribute([tf.as_dtype(one.type) for one in arguments]))
    node.attr["f"].func.name, node.op = node.op, "StatefulPartitionedCall"
    node.attr["config_proto"].s = unoptimized(b"")


def _output_names(node: Any) -> list[str]:
    """Return the outputs of a node as a function's definition names them: ``MatMul:product:0``."""
    names: list[str] = []
    for argument in op_def_registry.get(node.op).output_arg:
        count = 1
        if argument.number_attr:
            count = node.attr[argument.number_attr].i
        elif argument.type_list_attr:
            count = len(node.attr[argument.type_list_attr].list.type)
        names.extend(f"{node.name}:{argument.name}:{index}" for index in range(count))
    return names


def _attribute(value: Any) -> attr_value_pb2.AttrValue:
    if isinstance(value, tf.DType):
        return attr_value_pb2.AttrValue(type=value.as_datatype_enum)
    if isinstance(value, bool):
        return attr_value_pb2.AttrValue(b=value)
    if isinstance(value, int):
        return attr_value_pb2.AttrValue(i=value)
    if isinstance(value, str):
        return attr_value_pb2.AttrValue(s=value.encode())
    if isinstance(value, AtomicFunction):
        return attr_value_pb2.AttrValue(func=attr_value_pb2.NameAttrList(name=value.name.decode()))
    if isinstance(value, list):
        types = [one.as_datatype_enum for one in value]
        return attr_value_pb2.AttrValue(list=attr_value_pb2.AttrValue.ListValue(type=types))
    return attr_value_pb2.AttrValue(tensor=value)
