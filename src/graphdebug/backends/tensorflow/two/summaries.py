"""Summaries: what is handed out of a part of a function, as two vectors: numbers, and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.polymorphic_function.atomic_function import AtomicFunction

from graphdebug.backends.tensorflow.two.copying import Copy
from graphdebug.model.event import Level

__all__ = ["LOOKED_INTO", "MEASURES", "SAMPLE", "SINGLE", "SMALL", "WIDTHS", "Summaries"]

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

MEASURES = 6
"""Numbers that a tensor of many whole numbers has: size, min, max, mean, half the sum of squares, zeros."""

SMALL = 8192
"""Elements up to which all are counted at once; a larger tensor is counted only if it is not finite, which is
found out in a fifth of the time."""

_HEALTH, _CONCISE = 2, 3
"""Modes of DebugNumericSummaryV2."""


class Summaries:
    """The summaries of the whole function, of one round of a loop or of one branch, which come out together.

    Args:
        copy: the function they are added to.
        level: how much is summed up.
        frame: the loops that they are in.
        anchor: a node of the innermost loop, which its constants wait for; empty outside of loops.
        alive: tensors of no elements (float32, int64) that are there when the branch is taken; none elsewhere.

    """

    def __init__(
        self, copy: Copy, level: Level, frame: tuple[str, ...] = (), anchor: str = "", alive: Sequence[str] = ()
    ) -> None:
        self.copy = copy
        self.frame = frame
        self._level = level
        self._anchor = anchor
        self._alive = alive
        self._summaries: list[str] = []
        self._singles: list[str] = []
        self._elements: list[str] = []
        self._small: list[str] = []
        self._samples: list[str] = []
        self._shapes: list[str] = []
        self._wholes: list[str] = []
        self._nested: tuple[list[str], list[str]] = ([], [])
        self._constants: dict[Any, str] = {}

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

    def elements(self, tensor: str, dtype: tf.DType, device: str, *, counted: bool = True) -> None:
        """Hand out all elements of a small tensor of at most single precision; those not counted come last."""
        flat = self._flat(tensor, dtype, device)
        (self._elements if counted else self._small).append(
            flat if dtype == tf.float32 else self._cast(flat, dtype, device)
        )

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

    def whole(self, tensor: str, dtype: tf.DType, device: str) -> None:
        """Hand out all elements of a small tensor of whole numbers."""
        flat = self._flat(tensor, dtype, device)
        self._wholes.append(flat if dtype == tf.int64 else self._cast(flat, dtype, device, tf.int64))

    def measures(self, tensor: str, dtype: tf.DType, device: str) -> None:
        """Hand out the `MEASURES` of a tensor, as they are in memory: none of them fits single precision."""
        double, axis = tf.float64, self._constant(np.array([0], np.int32), device)
        flat = self._flat(tensor, dtype, device)
        wide = flat if dtype == double else self._cast(flat, dtype, device, double)
        reduced = {"T": double, "Tidx": tf.int32, "keep_dims": False}
        size = self._add("Size", [tensor], {"T": dtype, "out_type": tf.int32}, "output", device)
        found = [self._cast(size, tf.int32, device, double)]
        found += [self._add(op, [wide, axis], reduced, "output", device) for op in ("Min", "Max", "Mean")]
        found.append(self._add("L2Loss", [wide], {"T": double}, "output", device))
        equal = {"T": double, "incompatible_shape_error": True}
        zero = self._constant(np.zeros((), np.float64), device)
        is_zero = self._add("Equal", [wide, zero], equal, "z", device)
        one_each = self._cast(is_zero, tf.bool, device, double)
        found.append(self._add("Sum", [one_each, axis], reduced, "output", device))
        packed = self._add("Pack", found, {"N": len(found), "T": double, "axis": 0}, "output", device)
        self._wholes.append(self._add("Bitcast", [packed], {"T": double, "type": tf.int64}, "output", device))

    def shape(self, tensor: str, dtype: tf.DType, device: str, *, has_rank: bool) -> None:
        """Hand out a shape that is not known before, behind its rank if that is not known either."""
        if not has_rank:
            self.number(self._add("Rank", [tensor], {"T": dtype}, "output", device), tf.int32)
        self._shapes.append(self._add("Shape", [tensor], {"T": dtype, "out_type": tf.int64}, "output", device))

    def number(self, tensor: str, dtype: tf.DType) -> None:
        """Hand out one integer: the number of iterations of a loop, or the branch taken."""
        wide = self._cast(tensor, dtype, "", tf.int64)
        shape = self._constant(np.array([1], np.int32), "")
        attrs = {"T": tf.int64, "Tshape": tf.int32}
        self._shapes.append(self._add("Reshape", [wide, shape], attrs, "output", ""))

    def _single(self, tensor: str, dtype: tf.DType, device: str) -> None:
        self._singles.append(tensor if dtype == tf.float32 else self._cast(tensor, dtype, device))

    def _flat(self, tensor: str, dtype: tf.DType, device: str) -> str:
        all_of_it = self._constant(np.array([-1], np.int32), device)
        return self._add("Reshape", [tensor, all_of_it], {"T": dtype, "Tshape": tf.int32}, "output", device)

    def _cast(self, tensor: str, dtype: tf.DType, device: str, to: tf.DType = tf.float32) -> str:
        return self._add("Cast", [tensor], {"SrcT": dtype, "DstT": to, "Truncate": False}, "y", device)

    def branch(self, chosen: str, dtype: tf.DType, count: int) -> list[Summaries]:
        """Return the summaries of the branches of which the number `chosen` says which is taken."""
        alive: list[list[str]] = [[] for _ in range(count)]
        for kind in (tf.float32, tf.int64):
            nothing = self._constant(np.zeros(0, kind.as_numpy_dtype), "")
            if dtype == tf.bool:
                self._add("Switch", [nothing, chosen], {"T": kind}, "output_false", "")
                names = [f"{self.copy.last}:output_{side}:0" for side in ("false", "true")]
            else:
                self._add("_SwitchN", [nothing, chosen], {"T": kind, "num_outs": count}, "outputs", "")
                names = [f"{self.copy.last}:outputs:{index}" for index in range(count)]
            for mine, name in zip(alive, names, strict=True):
                mine.append(name)
        return [Summaries(self.copy, self._level, self.frame, self._anchor, one) for one in alive]

    def merge(self, branches: Sequence[Summaries]) -> None:
        """Take over what the branch taken hands out, and which one it is."""
        packed = [branch.pack() for branch in branches]
        for position, dtype in enumerate((tf.float32, tf.int64)):
            vectors = [one[position] for one in packed]
            merged = self._add("Merge", vectors, {"T": dtype, "N": len(vectors)}, "output", "")
            self._nested[position].append(merged)
        self.number(f"{self.copy.last}:value_index:0", tf.int32)

    def nest(self, floats: str, ints: str) -> None:
        """Take over what a function that is called here hands out; empty where it does not."""
        for vectors, one in zip(self._nested, (floats, ints), strict=True):
            if one:
                vectors.append(one)

    def pack(self) -> tuple[str, str]:
        """Put all into two vectors; return their names, empty where there is nothing."""
        floats = [*self._alive[:1], *self._summaries]
        if self._singles:
            packed = {"N": len(self._singles), "T": tf.float32, "axis": 0}
            floats.append(self._add("Pack", self._singles, packed, "output", ""))
        floats += [*self._elements, *self._small, *self._samples, *self._nested[0]]
        ints = [*self._alive[1:], *self._shapes, *self._wholes, *self._nested[1]]
        return self._joined(floats, tf.float32), self._joined(ints, tf.int64)

    def stage(self, key: str) -> list[tf.DType]:
        """Put the vectors of each round of a loop aside under `key`; return their dtypes."""
        pairs = [(one, dtype) for one, dtype in zip(self.pack(), (tf.float32, tf.int64), strict=True) if one]
        pairs = pairs or [(self._constant(np.array([0], np.int64), ""), tf.int64)]
        types = [dtype for _, dtype in pairs]
        name = self.copy.put_aside(key, [one for one, _ in pairs], types)
        self.copy.next_round_waits(self.frame[-1], name)
        return types

    def _constant(self, value: np.ndarray, device: str) -> str:
        key = (value.tobytes(), value.shape, value.dtype, device)
        if key not in self._constants:
            attrs = {"value": tf.make_tensor_proto(value), "dtype": tf.as_dtype(value.dtype)}
            self._constants[key] = self.copy.add("Const", [], attrs, "output", device, after=self._anchor)
        return self._constants[key]

    def _joined(self, vectors: Sequence[str], dtype: tf.DType) -> str:
        if len(vectors) < 2:
            return vectors[0] if vectors else ""
        axis = self._constant(np.array(0, np.int32), "")
        attrs = {"N": len(vectors), "T": dtype, "Tidx": tf.int32}
        return self._add("ConcatV2", [*vectors, axis], attrs, "output", "")

    def _add(self, op: str, inputs: Sequence[str], attrs: dict[str, Any], output: str, device: str) -> str:
        return self.copy.add(op, inputs, attrs, output, device)


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
