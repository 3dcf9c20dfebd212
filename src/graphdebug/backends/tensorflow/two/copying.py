"""Copying: a copy of a function's definition that also hands out summaries of its tensors, as small vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, function_pb2
from tensorflow.python.eager.polymorphic_function.atomic_function import AtomicFunction

from graphdebug.model.event import Level

__all__ = ["LOOKED_INTO", "SAMPLE", "SINGLE", "WIDTHS", "Copy"]

LOOKED_INTO = frozenset({tf.float16, tf.bfloat16, tf.float32, tf.float64})
"""What TensorFlow's summary op can read."""

SINGLE = frozenset({tf.float16, tf.bfloat16, tf.float32})
"""What single precision holds."""

SAMPLE = 64
"""Elements of a tensor that level `values` keeps."""

WIDTHS: dict[Level, tuple[int, int]] = {"shapes": (5, 0), "health": (5, 0), "stats": (5, 5), "values": (5, 5)}
"""Numbers a tensor has in a summary: from the summary op, and single ones after those of all tensors.

The summary op gives (id, size, -inf, +inf, nan); the single ones are half the sum of squares, min, max,
mean and the number of zeros.
"""

SMALL = 8192
"""Elements up to which all are counted at once; a larger tensor is counted only if it is not finite, which is
found out in a fifth of the time."""

_HEALTH, _CONCISE = 2, 3
"""Modes of DebugNumericSummaryV2."""

_PREFIX = "graphdebug"


class Copy:
    """A function definition to which nodes are added.

    Args:
        definition: the user's function; it is not changed.
        level: how much is summed up.

    """

    def __init__(self, definition: function_pb2.FunctionDef, level: Level) -> None:
        self.definition = function_pb2.FunctionDef()
        self.definition.CopyFrom(definition)
        self.name = str(definition.signature.name)
        self._level = level
        self._summaries: list[str] = []
        self._singles: list[str] = []
        self._elements: list[str] = []
        self._samples: list[str] = []
        self._shapes: list[str] = []
        self._nested: tuple[list[str], list[str]] = ([], [])
        self._count = 0

    def look(self, tensor: str, dtype: tf.DType, device: str, *, large: bool) -> None:
        """Sum up the elements of a float tensor, given by its name in the definition (``MatMul:product:0``)."""
        self._summaries.append(self._counted(tensor, dtype, device, large=large))
        if self._level != "health":
            self._single(self._add("L2Loss", [tensor], {"T": dtype}, "output", device), dtype, device)
            flat = self._flat(tensor, dtype, device)
            axis = self._constant(np.array([0], np.int32), device)
            for op in ("Min", "Max", "Mean"):
                reduced = {"T": dtype, "Tidx": tf.int32, "keep_dims": False}
                self._single(self._add(op, [flat, axis], reduced, "output", device), dtype, device)
            zero = self._constant(np.zeros((), dtype.as_numpy_dtype), device)
            equal = {"T": dtype, "incompatible_shape_error": True}
            is_zero = self._add("Equal", [flat, zero], equal, "z", device)
            one_each = self._cast(is_zero, tf.bool, device)
            summed = {"T": tf.float32, "Tidx": tf.int32, "keep_dims": False}
            self._singles.append(self._add("Sum", [one_each, axis], summed, "output", device))

    def _counted(self, tensor: str, dtype: tf.DType, device: str, *, large: bool) -> str:
        attrs = {"T": dtype, "output_dtype": tf.float32, "tensor_debug_mode": _CONCISE, "tensor_id": 0}
        if not large:
            return self._add("DebugNumericSummaryV2", [tensor], attrs, "output", device)
        attrs["tensor_debug_mode"] = _HEALTH
        flags = self._add("DebugNumericSummaryV2", [tensor], attrs, "output", device)
        axis = self._constant(np.array([0], np.int32), device)
        reduced = {"T": tf.float32, "Tidx": tf.int32, "keep_dims": False}
        worst = self._add("Max", [flags, axis], reduced, "output", device)
        is_bad = self._cast(worst, tf.float32, device, tf.bool)
        size = self._add("Size", [tensor], {"T": dtype, "out_type": tf.int32}, "output", device)
        then, otherwise = counting(dtype)
        branches = {
            "Tcond": tf.bool, "Tin": [dtype, tf.int32], "Tout": [tf.float32], "then_branch": then,
            "else_branch": otherwise, "_lower_using_switch_merge": True,
        }  # fmt: skip
        return self._add("StatelessIf", [is_bad, tensor, size], branches, "output", device)

    def put_aside(self, key: str, tensors: Sequence[str], dtypes: Sequence[tf.DType]) -> None:
        """Keep the outputs of an op that can't be run again under `key`, in case the function raises."""
        name = f"{_PREFIX}/{key}"
        self._add("Stage", tensors, {"dtypes": list(dtypes), "shared_name": key}, "", "", name=name)
        self.keep(name)

    def elements(self, tensor: str, dtype: tf.DType, device: str) -> None:
        """Hand out all elements of a small tensor of at most single precision."""
        flat = self._flat(tensor, dtype, device)
        self._elements.append(flat if dtype == tf.float32 else self._cast(flat, dtype, device))

    def sample(self, tensor: str, dtype: tf.DType, size: int, device: str) -> int:
        """Hand out the elements of a numeric tensor, or 64 of them at equal distances; return how many."""
        flat = self._flat(tensor, dtype, device)
        if size > SAMPLE:
            indices = self._constant(np.linspace(0, size - 1, SAMPLE).astype(np.int32), device)
            axis = self._constant(np.array(0, np.int32), device)
            attrs = {"Tparams": dtype, "Tindices": tf.int32, "Taxis": tf.int32, "batch_dims": 0}
            flat = self._add("GatherV2", [flat, indices, axis], attrs, "output", device)
        self._samples.append(self._cast(flat, dtype, device))
        return min(size, SAMPLE)

    def shape(self, tensor: str, dtype: tf.DType, device: str) -> None:
        """Hand out a shape that is not known before."""
        self._shapes.append(self._add("Shape", [tensor], {"T": dtype, "out_type": tf.int64}, "output", device))

    def number(self, tensor: str, dtype: tf.DType) -> None:
        """Hand out one integer: the number of iterations of a loop, or the branch taken."""
        wide = self._cast(tensor, dtype, "", tf.int64)
        shape = self._constant(np.array([1], np.int32), "")
        attrs = {"T": tf.int64, "Tshape": tf.int32}
        self._shapes.append(self._add("Reshape", [wide, shape], attrs, "output", ""))

    def nest(self, node: Any, name: str, original: int, extras: tuple[bool, bool]) -> None:
        """Let a call node call the copy `name` of its function, and take over the copy's summaries."""
        node.attr["f"].func.name = name
        node.op = "StatefulPartitionedCall"
        position = original
        for present, dtype, found in zip(extras, (tf.float32, tf.int64), self._nested, strict=True):
            if present:
                node.attr["Tout"].list.type.append(dtype.as_datatype_enum)
                found.append(f"{node.name}:output:{position}")
                position += 1

    def pack(self) -> tuple[str, str]:
        """Put all summaries into two vectors; return their names, empty where there is nothing."""
        floats = [*self._summaries]
        if self._singles:
            packed = {"N": len(self._singles), "T": tf.float32, "axis": 0}
            floats.append(self._add("Pack", self._singles, packed, "output", ""))
        floats += [*self._elements, *self._samples, *self._nested[0]]
        return self._joined(floats, tf.float32), self._joined([*self._shapes, *self._nested[1]], tf.int64)

    def hand_out(self, floats: str, ints: str) -> tuple[bool, bool]:
        """Make the packed vectors outputs of the function."""
        for tensor, dtype in ((floats, tf.float32), (ints, tf.int64)):
            if tensor:
                argument = self.definition.signature.output_arg.add()
                argument.name = f"{_PREFIX}_{dtype.name}"
                argument.type = dtype.as_datatype_enum
                self.definition.ret[argument.name] = tensor
        return bool(floats), bool(ints)

    def stage(self, key: str, floats: str, ints: str) -> list[tf.DType]:
        """Put the packed vectors aside under `key` each time the function runs: for bodies of loops.

        Returns:
            The dtypes of what is put aside.

        """
        values = [one for one in (floats, ints) if one]
        types = [dtype for one, dtype in ((floats, tf.float32), (ints, tf.int64)) if one]
        if not values:
            values, types = [self._constant(np.array([0], np.int64), "")], [tf.int64]
        name = f"{_PREFIX}/stage"
        self._add("Stage", values, {"dtypes": types, "shared_name": key}, "", "", name=name)
        self.keep(name)
        return types

    def keep(self, node: str) -> None:
        """Have a node run for what it puts aside, even if its outputs are not used."""
        if node not in self.definition.control_ret:
            self.definition.control_ret[node] = node
            self.definition.signature.control_output.append(node)
            self.definition.signature.is_stateful = True

    def register(self, context: Any, name: str) -> None:
        """Make the copy known to the runtime under `name`."""
        self.definition.signature.name = name
        context.add_function_def(self.definition)

    def _single(self, tensor: str, dtype: tf.DType, device: str) -> None:
        self._singles.append(tensor if dtype == tf.float32 else self._cast(tensor, dtype, device))

    def _flat(self, tensor: str, dtype: tf.DType, device: str) -> str:
        all_of_it = self._constant(np.array([-1], np.int32), device)
        return self._add("Reshape", [tensor, all_of_it], {"T": dtype, "Tshape": tf.int32}, "output", device)

    def _cast(self, tensor: str, dtype: tf.DType, device: str, to: tf.DType = tf.float32) -> str:
        return self._add("Cast", [tensor], {"SrcT": dtype, "DstT": to, "Truncate": False}, "y", device)

    def _constant(self, value: np.ndarray, device: str) -> str:
        proto = tf.make_tensor_proto(value)
        return self._add("Const", [], {"value": proto, "dtype": tf.as_dtype(value.dtype)}, "output", device)

    def _joined(self, vectors: Sequence[str], dtype: tf.DType) -> str:
        if len(vectors) < 2:
            return vectors[0] if vectors else ""
        axis = self._constant(np.array(0, np.int32), "")
        attrs = {"N": len(vectors), "T": dtype, "Tidx": tf.int32}
        return self._add("ConcatV2", [*vectors, axis], attrs, "output", "")

    def _add(
        self, op: str, inputs: Sequence[str], attrs: dict[str, Any], output: str, device: str, name: str = ""
    ) -> str:
        self._count += 1
        node = self.definition.node_def.add()
        node.name = name or f"{_PREFIX}/{op}_{self._count}"
        node.op = op
        node.device = device
        node.input.extend(inputs)
        for key, value in attrs.items():
            node.attr[key].CopyFrom(_attribute(value))
        return f"{node.name}:{output}:0"


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


@cache
def counting(dtype: tf.DType) -> tuple[AtomicFunction, AtomicFunction]:
    """Return the branches that count what is not finite in a tensor, and that say there is nothing to count."""

    def count(tensor: Any, size: Any) -> Any:
        del size
        return tf.raw_ops.DebugNumericSummaryV2(
            input=tensor, output_dtype=tf.float32, tensor_debug_mode=_CONCISE, tensor_id=0
        )

    def nothing(tensor: Any, size: Any) -> Any:
        del tensor
        return tf.stack([0.0, tf.cast(size, tf.float32), 0.0, 0.0, 0.0])

    signature = [tf.TensorSpec(None, dtype), tf.TensorSpec([], tf.int32)]
    traced = [tf.function(one, input_signature=signature, autograph=False) for one in (count, nothing)]
    _alive.extend(traced)
    then, otherwise = (one.get_concrete_function()._inference_function for one in traced)
    return then, otherwise


_alive: list[Any] = []
"""The functions above, one pair for each dtype: the runtime forgets a function that nobody holds."""
