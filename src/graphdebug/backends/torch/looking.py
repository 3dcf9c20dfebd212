"""Looking at a tensor's elements, by level: whether they are finite, or their statistics."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from graphdebug.backends.torch.facts import Look
from graphdebug.model.event import Stats, number

__all__ = ["looker"]

Looker = Callable[[torch.Tensor], Look]


def looker(level: str) -> Looker | None:
    """Return the function that looks at a fresh output at this level; None where the level does not."""
    return {"shapes": None, "health": _health, "stats": _stats, "values": _stats}[level]


def _health(tensor: torch.Tensor) -> Look:
    reason = unreadable(tensor)
    if reason is not None:
        return reason or None
    if not tensor.dtype.is_floating_point and not tensor.dtype.is_complex:
        return None
    if tensor.dim() == 0 and tensor.dtype.is_floating_point and tensor.device.type == "cpu":
        return _scalar(tensor)
    if bool(torch.isfinite(tensor.detach()).all()):
        return True
    return stats_of(tensor)


def _scalar(tensor: torch.Tensor) -> Look:
    """A scalar's value costs no more than the question whether it is finite, and shows how a loss goes."""
    value = tensor.item()
    if not math.isfinite(value):
        return stats_of(tensor)
    one = number(value)
    return Stats(0, 0, 0, int(value == 0), one, one, one, 0.0, number(abs(value)))


def _stats(tensor: torch.Tensor) -> Look:
    reason = unreadable(tensor)
    if reason is not None:
        return reason or None
    return stats_of(tensor)


def unreadable(tensor: torch.Tensor) -> str | None:
    """Return why a tensor's elements can't be looked at, "" where there are none, None where they can."""
    if type(tensor) is not torch.Tensor and type(tensor) is not torch.nn.Parameter:
        return f"tensor subclass {type(tensor).__name__}"
    if tensor.layout is not torch.strided:
        return f"{str(tensor.layout).removeprefix('torch.').lstrip('_')} tensor"
    if tensor.device.type == "meta":
        return "meta tensor has no data"
    if tensor.is_nested:
        return "nested tensor"
    if tensor.is_quantized:
        return "quantized tensor"
    return "" if tensor.numel() == 0 else None


def stats_of(tensor: torch.Tensor) -> Stats:
    """Return the statistics of a tensor of numbers, in torch's own operations."""
    values = tensor.detach()
    if values.dtype.is_complex:
        values = torch.view_as_real(values.resolve_conj())
    if values.dtype.is_floating_point:
        values = values.double()
        finite = values[torch.isfinite(values)]
        nan = int(values.isnan().sum())
        pos, neg = int((values == math.inf).sum()), int((values == -math.inf).sum())
    else:
        finite, nan, pos, neg = values.reshape(-1).double(), 0, 0, 0
    zero = int((finite == 0).sum())
    if not finite.numel():
        return Stats(nan, pos, neg, zero)
    return Stats(
        nan, pos, neg, zero,
        number(finite.min().item()), number(finite.max().item()), number(finite.mean().item()),
        number(finite.std(unbiased=False).item()), number(finite.norm().item()),
    )  # fmt: skip
