"""The names of variables, found by their handles: an eager op sees only the handle."""

from __future__ import annotations

from types import FrameType
from typing import Any

from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

__all__ = ["name_of_handle", "variable_above", "variable_name"]

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
    return str(getattr(variable, "path", None) or getattr(variable, "name", "")).partition(":")[0]


def _owns(owner: Any, handle: Any) -> bool:
    try:
        return getattr(owner, "_handle", None) is handle and not type(owner).__name__.startswith("_Unread")
    except Exception:  # a user's object with a __getattr__ of its own
        return False
