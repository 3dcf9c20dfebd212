"""What is recorded of one TensorFlow tensor: from an array that is at hand, or from a symbolic tensor."""

from __future__ import annotations

from math import prod
from typing import Any

import msgspec
import numpy as np

from graphdebug.backends.protocol import Elements
from graphdebug.model.event import Level, Number, Shape, Stats, TensorFact, number

__all__ = [
    "array_fact",
    "device_word",
    "dtype_word",
    "elements_of",
    "held_fact",
    "sample",
    "shape_of",
    "static_fact",
    "stats_of",
]  # fmt: skip

_SAMPLE = 64
"""Elements of a tensor that level `values` keeps."""


def dtype_word(dtype: Any) -> str:
    """Return a ``tf.DType`` (or its enum number) as the word that all frameworks share."""
    import tensorflow as tf

    return str(tf.dtypes.as_dtype(dtype).base_dtype.name)


def device_word(device: str) -> str:
    """Return ``cpu`` or ``cuda:1`` for TensorFlow's ``/job:localhost/.../device:GPU:1``."""
    kind, _, index = device.lower().rpartition("device:")[2].partition(":")
    if not kind or kind.startswith("/"):
        return "cpu"
    kind = "cuda" if kind == "gpu" else kind
    return kind if index in ("", "*") or (kind, index) == ("cpu", "0") else f"{kind}:{index}"


def shape_of(shape: Any) -> Shape | None:
    """Return a ``tf.TensorShape`` as sizes, None for a size or a rank that is not known."""
    return None if shape.rank is None else tuple(shape.as_list())


def static_fact(tensor: Any) -> TensorFact:
    """Return what is known of a symbolic tensor before anything ran."""
    return TensorFact(
        shape=shape_of(tensor.shape), dtype=dtype_word(tensor.dtype), device=device_word(tensor.device or "")
    )


def held_fact(tensor: Any) -> TensorFact:
    """Return what is known of a variable from its tensor: of what it holds, where the tensor is its handle."""
    data = getattr(tensor, "_handle_data", None)
    if data is None or not data.is_set or not data.shape_and_type:
        return static_fact(tensor)
    from tensorflow.python.framework import dtypes, tensor_shape

    held = data.shape_and_type[0]
    return TensorFact(
        shape=shape_of(tensor_shape.TensorShape(held.shape)), dtype=dtypes.as_dtype(held.dtype).name,
        device=device_word(tensor.device or ""),
    )  # fmt: skip


def array_fact(array: np.ndarray, level: Level, *, dtype: str = "", device: str = "cpu") -> TensorFact:
    """Return the fact of an array at `level`.

    Args:
        array: the elements; strings and other objects are not looked into.
        level: how much to record.
        dtype: the tensor's dtype where numpy has no word for it (``string``).
        device: where the tensor was.

    """
    word = dtype or _numpy_word(array.dtype)
    finite: bool | None = None
    unchecked = ""
    stats: Stats | None = None
    if level != "shapes" and _is_numeric(array):
        if _can_be_nonfinite(array):
            finite = _all_finite(array)
        if level != "health" or finite is False:
            stats = stats_of(array, counts_only=level == "health")
    elif level != "shapes":
        unchecked = f"{word} has no numeric elements"
    values = sample(array) if level == "values" else ()
    return TensorFact(
        tuple(array.shape), word, device, finite=finite, unchecked=unchecked, stats=stats, values=values
    )


def elements_of(value: Any, dtype: str = "") -> Elements | None:
    """Return the elements of an eager tensor or an array, to be saved; None of anything else and of strings.

    Args:
        value: what an op was given.
        dtype: the tensor's dtype, where `value` is an array that was fed or fetched for it.

    """
    if hasattr(value, "_numpy_internal"):
        word = dtype_word(value.dtype)
        if word in ("string", "resource", "variant"):
            return None
        shape = tuple(value.shape.as_list())
        return Elements(word, shape, prod(shape) * value.dtype.size, lambda: bytes(value.numpy().tobytes()))
    if not isinstance(value, np.ndarray | np.generic) or not _is_numeric(np.asarray(value)):
        return None
    return Elements(dtype or value.dtype.name, tuple(value.shape), value.nbytes, value.tobytes)


def _all_finite(array: np.ndarray) -> bool:
    """Whether no element is NaN or infinite. A finite sum proves it at the price of one plain read."""
    if array.dtype.kind == "f" and array.dtype.itemsize >= 4:
        with np.errstate(all="ignore"):
            if np.isfinite(array.sum()):
                return True
    return bool(np.isfinite(array).all())


def stats_of(array: np.ndarray, *, counts_only: bool = False) -> Stats:
    """Return counts over all elements, and min to l2 over the finite ones unless `counts_only`."""
    real = array.astype(np.float64) if array.dtype.kind != "c" else np.abs(array).astype(np.float64)
    good = np.isfinite(real)
    counts = Stats(
        nan=int(np.isnan(real).sum()),
        pos_inf=int(np.isposinf(real).sum()),
        neg_inf=int(np.isneginf(real).sum()),
        zero=int(real.size - np.count_nonzero(real)),
    )
    part = real if good.all() else real[good]
    if counts_only or not part.size:
        return counts
    return msgspec.structs.replace(
        counts,
        min=number(float(part.min())),
        max=number(float(part.max())),
        mean=number(float(part.mean())),
        std=number(float(part.std())),
        l2=number(float(np.sqrt(np.square(part).sum()))),
    )


def sample(array: np.ndarray) -> tuple[Number | bool | str, ...]:
    """Return all elements of a small array, or 64 of a large one at equal distances."""
    flat = array.reshape(-1)
    if flat.size > _SAMPLE:
        flat = flat[np.linspace(0, flat.size - 1, _SAMPLE).astype(np.int64)]
    return tuple(_element(value) for value in flat.tolist())


def _element(value: Any) -> Number | bool | str:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _numpy_word(dtype: np.dtype) -> str:
    return "string" if dtype.kind in "OSU" else dtype.name


def _is_numeric(array: np.ndarray) -> bool:
    return array.dtype.kind in "biufcV" and not array.dtype.names


def _can_be_nonfinite(array: np.ndarray) -> bool:
    return array.dtype.kind in "fcV"
