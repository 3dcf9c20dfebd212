"""Probes: the few ops put beside a user's graph that measure its tensors while it runs.

All measurements of one run come back as one fetched vector, those inside loops and conds through a staging
area. The numbers come from DebugNumericSummaryV2 (its modes are numbered in debug_event.proto): SHAPE gives
[id, dtype, rank, elements, 6 sizes], CURT_HEALTH [id, non-finite elements], CONCISE_HEALTH
[id, elements, -inf, +inf, nan].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from graphdebug.backends.tensorflow.facts import dtype_word
from graphdebug.backends.whole import is_whole
from graphdebug.model.event import Level, Shape, Stats, TensorFact, number

__all__ = [
    "COUNTS", "FLOATS", "MEASURED", "UNMEASURED_OPS", "build_count", "build_probe", "decode", "decode_count",
    "width",
]  # fmt: skip

COUNTS = 5
"""Numbers that the count of one tensor's non-finite elements gives."""

_CURT, _CONCISE, _SHAPE = 2, 3, 5
_SIZES = 6
_SMALL = 4096
"""Elements up to which counting at once is cheaper than looking first."""
_TRUSTED_VARIANCE = 1e-3
"""Least variance, relative to the mean square, that sums in float32 give to some digits."""

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Words of the dtypes that have NaN and infinities."""
MEASURED = (*FLOATS, "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
"""dtypes that TensorFlow's debug op takes."""

UNMEASURED_OPS = frozenset(
    [
        "Placeholder",
        "PlaceholderV2",
        "Const",
        "VariableV2",
        "Variable",
        "VarHandleOp",
        "Enter",
        "RefEnter",
        "Exit",
        "RefExit",
        "Switch",
        "RefSwitch",
        "Merge",
        "RefMerge",
        "NextIteration",
        "RefNextIteration",
        "LoopCond",
        "Assign",
        "AssignAdd",
        "AssignSub",
        "NoOp",
        "ControlTrigger",
        "Stage",
        "Unstage",
    ]
)
"""Ops whose outputs need no probe (known without running) or can't have one."""


def width(level: Level, dtype: str) -> int:
    """Return how many numbers the probe of one tensor gives."""
    if dtype not in FLOATS or level == "shapes":
        return 10 if level in ("shapes", "health") else 15
    return 15 if level == "health" else 20


def build_probe(tensor: Any, level: Level, elements: int | None, key: int) -> Any:
    """Add the probe of one tensor to the default graph and return it: a float64 vector.

    Args:
        tensor: what to measure.
        level: how much.
        elements: its number of elements if known; decides how non-finite ones are counted.
        key: a number that comes back as the first element.

    """
    import tensorflow as tf

    dtype = dtype_word(tensor.dtype)
    parts = [_summary(tensor, _SHAPE, key)]
    if dtype in FLOATS and level != "shapes":
        small = elements is not None and elements <= _SMALL
        parts.append(_summary(tensor, _CONCISE, key) if small else _count_if_needed(tensor, key))
    if level in ("stats", "values"):
        parts.append(_sums(tensor, dtype))
    return parts[0] if len(parts) == 1 else tf.concat(parts, 0)


def build_count(tensor: Any) -> Any:
    """Add ops that count the non-finite elements of a tensor whose shape is known, as `COUNTS` numbers."""
    return _count_if_needed(tensor, 0)


def decode_count(numbers: Sequence[float], dtype: str, device: str, shape: Shape | None) -> TensorFact:
    """Return the fact that such a count tells of a tensor of this shape."""
    neg_inf, pos_inf, nan = (int(value) for value in numbers[2:5])
    finite = neg_inf + pos_inf + nan == 0
    stats = None if finite else Stats(nan=nan, pos_inf=pos_inf, neg_inf=neg_inf)
    return TensorFact(shape, dtype, device, finite=finite, stats=stats)


def _summary(tensor: Any, mode: int, key: int) -> Any:
    import tensorflow as tf
    from tensorflow.python.ops import gen_debug_ops

    return gen_debug_ops.debug_numeric_summary_v2(
        input=tensor, tensor_debug_mode=mode, tensor_id=key, output_dtype=tf.float64
    )


def _count_if_needed(tensor: Any, key: int) -> Any:
    """Look for a non-finite element; count the kinds only if there is one."""
    import tensorflow as tf
    from tensorflow.python.ops import gen_control_flow_ops as flow

    found = tf.greater(_summary(tensor, _CURT, key)[1], 0)
    suspect = flow.switch(tensor, found)[1]
    none = flow.switch(tf.zeros([5], tf.float64), found)[0]
    return flow.merge([none, _summary(suspect, _CONCISE, key)])[0]


def _sums(tensor: Any, dtype: str) -> Any:
    import tensorflow as tf

    precise = tf.float64 if is_whole(dtype) else tf.float32
    wide = tensor if dtype in ("float32", "float64") else tf.cast(tensor, precise)
    parts = [tf.reduce_min(wide), tf.reduce_max(wide), tf.reduce_sum(wide), tf.nn.l2_loss(wide)]
    numbers = tf.cast(tf.stack(parts), tf.float64)
    return tf.concat([numbers, [tf.cast(tf.math.count_nonzero(tensor), tf.float64)]], 0)


def decode(numbers: Sequence[float], level: Level, dtype: str, device: str, known: Shape | None) -> TensorFact:
    """Return the fact that a probe's numbers tell.

    Args:
        numbers: what the probe gave.
        level: the level it was built for.
        dtype: of the tensor.
        device: of the tensor.
        known: the inferred shape, for tensors of more than 6 dimensions.

    """
    rank, elements = int(numbers[2]), int(numbers[3])
    shape: Shape | None = tuple(int(size) for size in numbers[4 : 4 + rank]) if rank <= _SIZES else known
    if level == "shapes":
        return TensorFact(shape, dtype, device)
    finite: bool | None = None
    neg_inf = pos_inf = nan = 0
    rest = 10
    if dtype in FLOATS:
        neg_inf, pos_inf, nan = (int(value) for value in numbers[12:15])
        finite = neg_inf + pos_inf + nan == 0
        rest = 15
    stats: Stats | None = None
    if level == "health":
        if finite is False:
            stats = Stats(nan=nan, pos_inf=pos_inf, neg_inf=neg_inf)
    elif elements:
        sums = numbers[rest : rest + 5] if finite is not False else (math.nan,) * 4 + (numbers[rest + 4],)
        stats = _stats(sums, elements, nan, pos_inf, neg_inf)
    return TensorFact(shape, dtype, device, finite=finite, stats=stats)


def _stats(sums: Sequence[float], elements: int, nan: int, pos_inf: int, neg_inf: int) -> Stats:
    low, high, total, half_square, nonzero = sums
    zero = elements - int(nonzero)
    if math.isnan(low):
        return Stats(nan=nan, pos_inf=pos_inf, neg_inf=neg_inf, zero=zero)
    mean, square = total / elements, 2 * half_square / elements
    variance = square - mean * mean
    std = math.sqrt(variance) if variance > _TRUSTED_VARIANCE * square and math.isfinite(square) else None
    if low == high:
        std = 0.0
    known = math.isfinite(half_square)
    return Stats(
        zero=zero,
        min=number(low),
        max=number(high),
        mean=number(mean) if math.isfinite(total) else None,
        std=None if std is None else number(std),
        l2=number(math.sqrt(2 * half_square)) if known else None,
    )
