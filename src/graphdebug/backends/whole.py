"""Whole numbers: the ops that calculate with them, and so may leave the range of their type without a word.

What such an op is given and what it gives is measured at level health too: numbers of these types are few.
"""

from __future__ import annotations

__all__ = ["COUNTS", "is_whole"]

COUNTS = frozenset({
    "abs", "add", "assign_add", "assign_sub", "bincount", "bmm", "cast", "cumprod", "cumsum", "div",
    "floor_divide", "index_add", "left_shift", "matmul", "mean", "mul", "neg", "pow", "prod", "scatter_add",
    "segment_sum", "square", "squared_difference", "sub", "sum",
})  # fmt: skip
"""Functions (docs/format.md) whose result may be beyond the range of whole numbers, or without its fraction."""


def is_whole(dtype: str) -> bool:
    """Whether the elements of this dtype are whole numbers; truth values are not."""
    return dtype.startswith(("int", "uint"))
