"""How far two tensors are apart, measured against the largest value and a tolerance that suits the dtype."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from graphdebug.backends.torch.nodes.facts import dtype_word

__all__ = ["Difference", "difference_of", "reach_of"]

_TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class Difference:
    """Two values that should be one."""

    shape: tuple[int, ...]
    dtype: str
    index: tuple[int, ...]
    """Where they are furthest apart."""
    eager: float
    compiled: float
    relative: float
    """Largest difference as a part of the largest finite eager value; infinite where only one is finite."""
    count: int
    """Elements beyond the tolerance."""
    tolerance: float


def difference_of(
    compiled: torch.Tensor, eager: torch.Tensor, rtol: float | None, reach: float = 0.0
) -> Difference | None:
    """Return how `compiled` differs from `eager` beyond the tolerance; None where it does not.

    The tolerance is a part of the largest eager value, and a tenth of that part of `reach`, the largest value
    it was computed from: what cancels leaves the rounding of what was there before.
    """
    if compiled.shape != eager.shape or compiled.dtype != eager.dtype:
        words = f"{dtype_word(compiled.dtype)} for {dtype_word(eager.dtype)}"
        nan = float("nan")
        return Difference(tuple(compiled.shape), words, (), nan, nan, float("inf"), compiled.numel(), 0.0)
    if not eager.numel() or eager.is_sparse or eager.is_quantized:
        return None
    inexact = eager.dtype.is_floating_point or eager.dtype.is_complex
    tolerance = (rtol if rtol is not None else _TOLERANCES.get(eager.dtype, 1e-4)) if inexact else 0.0
    a, b = compiled.detach().to(torch.complex128), eager.detach().to(torch.complex128)
    known = torch.isfinite(b)
    scale = float(b[known].abs().max()) if bool(known.any()) else 0.0
    apart = (a - b).abs()
    same = (a == b) | (torch.isnan(a) & torch.isnan(b))
    apart = torch.where(same, 0.0, torch.where(torch.isfinite(apart), apart, torch.inf)).reshape(b.shape)
    beyond = apart > tolerance * (scale + 0.1 * reach)
    count = int(beyond.sum())
    if not count:
        return None
    index = tuple(int(one) for one in torch.unravel_index(apart.argmax(), apart.shape))
    largest = float(apart[index])
    return Difference(
        tuple(eager.shape), dtype_word(eager.dtype), index, float(b[index].real), float(a[index].real),
        largest / scale if scale else float("inf"), count, tolerance,
    )  # fmt: skip


def reach_of(inputs: Sequence[torch.Tensor], numel: int) -> float:
    """The largest value among `inputs`, grown as rounding errors do where many elements become one."""
    sizes = [0.0]
    for one in inputs:
        if one.numel() and (one.dtype.is_floating_point or one.dtype.is_complex):
            largest = float(one.detach().abs().double().nan_to_num(0.0, 0.0, 0.0).max())
            sizes.append(largest * math.sqrt(max(one.numel() / max(numel, 1), 1.0)))
    return max(sizes)
