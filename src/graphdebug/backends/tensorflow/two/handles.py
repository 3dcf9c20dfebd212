"""Variables, known by their handles: an eager op sees only the handle."""

from __future__ import annotations

from types import FrameType
from typing import Any

from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable, ResourceVariable

from graphdebug.backends.tensorflow.facts import device_word, dtype_word
from graphdebug.model.event import TensorFact

__all__ = ["handle_fact", "name_of_handle", "variable_above", "variable_name"]

_DEPTH = 24
"""Frames looked through for the variable: TensorFlow's and Keras's own frames between it and the op."""


def name_of_handle(handle: Any, frame: FrameType | None) -> str:
    """Return the name of the variable that `handle` belongs to, or an empty string.

    Args:
        handle: the resource tensor.
        frame: the frame the op was called from; the variable's own method is above it.

    """
    for _ in range(_DEPTH):
        if frame is None:
            break
        if frame.f_code.co_name == "_init_from_args":
            name = frame.f_locals.get("name") or frame.f_locals.get("handle_name")
            if name:
                return str(name).rstrip("/")
        owner = frame.f_locals.get("self")
        if owner is not None and _owns(owner, handle):
            return variable_name(owner)
        frame = frame.f_back
    return ""


def variable_above(frame: FrameType | None) -> Any:
    """Return the variable whose own method is running above `frame`, or None."""
    for _ in range(_DEPTH):
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if isinstance(owner, BaseResourceVariable) and not type(owner).__name__.startswith("_Unread"):
            return owner
        frame = frame.f_back
    return None


def variable_name(variable: Any) -> str:
    """Return the path of a Keras variable, a variable's name without its output number: ``dense/kernel``."""
    if type(variable) is ResourceVariable:  # to ask it for what it lacks takes long
        return str(variable.name).partition(":")[0]
    return str(getattr(variable, "path", None) or getattr(variable, "name", "")).partition(":")[0]


def handle_fact(tensor: Any) -> TensorFact:
    """Return what is known of the variable that a handle, an eager tensor, is of."""
    data = getattr(tensor, "_handle_data", None)
    if data is None or not data.is_set or not data.shape_and_type:
        return TensorFact((), dtype_word(tensor._datatype_enum()), device_word(tensor.device))
    inner = data.shape_and_type[0]
    shape = (
        None
        if inner.shape.unknown_rank
        else tuple(None if one.size < 0 else one.size for one in inner.shape.dim)
    )
    return TensorFact(shape, dtype_word(inner.dtype), device_word(tensor.device))


def _owns(owner: Any, handle: Any) -> bool:
    try:
        return getattr(owner, "_handle", None) is handle and not type(owner).__name__.startswith("_Unread")
    except Exception:  # a user's object with a __getattr__ of its own
        return False
