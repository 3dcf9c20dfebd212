"""Ranges: what the values of data that a program gives a framework are: their range, or all one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphdebug.model.event import TensorFact, number

__all__ = ["add_values"]

_FEW = 1 << 16
"""Elements up to which the range is taken."""
_FIRST = 256
"""Elements at the start that must be alike before all are compared."""


def add_values(known: dict[str, Any], values: np.ndarray) -> None:
    """Add to what is `known` of data the range of some `values` (``low``, ``high``), what they are (``fact``),
    and the one number that all elements so far are (``constant``; None where they are not).

    A range is taken of values so few that it costs nothing; data of one element have no ``constant``.
    """
    if values.dtype.kind not in "biuf" or not values.size:
        return
    known.setdefault("fact", TensorFact(tuple(values.shape), values.dtype.name))
    if values.dtype.kind != "b" and values.size <= _FEW and np.isfinite(low := values.min()):
        high = values.max()
        if np.isfinite(high):
            known["low"] = number(min(float(known.get("low", low)), float(low)))
            known["high"] = number(max(float(known.get("high", high)), float(high)))
    same = _constant(values)
    if same is None or known.get("constant", same) != same:
        known["constant"] = None
    elif known.get("constant", same) is not None:
        known["constant"] = same


def _constant(values: np.ndarray) -> float | None:
    """Return the number that all elements are, more than one; else None."""
    first = values.flat[0]
    if values.size < 2 or not (values.flat[:_FIRST] == first).all() or not (values == first).all():
        return None
    return float(first)
