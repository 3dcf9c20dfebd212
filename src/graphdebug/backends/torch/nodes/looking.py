"""Looking at a tensor's elements, by level: whether they are finite, their statistics, their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from graphdebug.backends.torch.nodes.facts import CODES, Kind, Look, Valued
from graphdebug.backends.torch.nodes.stored import is_sparse, stored_in
from graphdebug.model.event import Number, Stats, number

_kernel: Any
try:
    from graphdebug.backends import _kernel
except ImportError:  # not compiled on this machine: torch's own operations give the same numbers
    _kernel = None

__all__ = ["Looker", "glances", "looker", "measurer", "quick_looker", "stats_of", "unreadable"]

Looker = Callable[[torch.Tensor, Kind], Look]
_LAST_FLOAT = 3
"""The kernel's numbers up to this one are of floating point types."""
_INLINE = 64
"""Elements of a tensor that are kept at level values; a larger one is sampled to as many."""


def looker(level: str) -> Looker | None:
    """Return the function that looks at a fresh output at this level; None where the level does not."""
    return {"shapes": None, "health": _health, "stats": _stats, "values": _values}[level]


def measurer(level: str) -> Looker | None:
    """Return the function that looks at whole numbers that are calculated with; None at level shapes."""
    return None if level == "shapes" else _values if level == "values" else _stats


def quick_looker(level: str) -> Callable[[torch.Tensor, Kind], Any] | None:
    """Return the kernel's own function for this level: it gives what `looker`'s does or NotImplemented."""
    if _kernel is None:
        return None
    return {"health": _kernel.health, "stats": _kernel.stats_into(Stats)}.get(level)


def glances(level: str) -> tuple[Any, int]:
    """Return the kernel's functions for the compiled recorder, and which of them are for this level."""
    return (None, 0) if _kernel is None else (_kernel.looks, {"health": 1, "stats": 2}.get(level, 0))


def _health(tensor: torch.Tensor, kind: Kind) -> Look:
    if kind.code < 0 or _kernel is None:
        return _look_carefully(tensor, stats=False)
    if kind.code > _LAST_FLOAT or not kind.numel:
        return None
    try:
        # a scalar's value costs no more than the question whether it is finite, and shows how a loss goes
        if kind.shape and _kernel.finite(tensor.data_ptr(), kind.numel, kind.code):
            return True
        return _summary(tensor.data_ptr(), kind.numel, kind.code)
    except (RuntimeError, ValueError):  # no memory of its own: a zero tensor, a tensor of torch.func
        return _look_carefully(tensor, stats=False)


def _stats(tensor: torch.Tensor, kind: Kind) -> Look:
    if kind.code < 0 or _kernel is None:
        return _look_carefully(tensor, stats=True)
    try:
        return _summary(tensor.data_ptr(), kind.numel, kind.code) if kind.numel else None
    except (RuntimeError, ValueError):
        return _look_carefully(tensor, stats=True)


def _values(tensor: torch.Tensor, kind: Kind) -> Look:
    stats = _stats(tensor, kind)
    if isinstance(stats, str):
        return stats
    with torch._C._DisableTorchDispatch():
        if is_sparse(tensor) or stored_in(tensor) is not None or tensor._is_zerotensor():
            return stats
        return Valued(stats if isinstance(stats, Stats) else None, sample(tensor))


def sample(tensor: torch.Tensor) -> tuple[Number | bool | str, ...]:
    """Return the elements of a small tensor, or evenly spaced ones of a large one, in row-major order."""
    flat = tensor.detach()
    if flat.numel() > _INLINE:
        places = torch.linspace(0, flat.numel() - 1, _INLINE, dtype=torch.float64).long()
        flat = flat.reshape(-1)[places.to(flat.device)]
    return tuple(
        one if isinstance(one, bool) else str(one) if isinstance(one, complex) else number(one)
        for one in flat.reshape(-1).tolist()
    )


def _look_carefully(tensor: torch.Tensor, *, stats: bool) -> Look:
    """Look at a tensor of any sort; what can't be looked at gives the reason, never an error."""
    with torch._C._DisableTorchDispatch(), torch.no_grad():
        try:
            held = stored_in(tensor)
            reason = unreadable(tensor if held is None else held)
            if reason is None and held is not None and is_sparse(tensor):
                return _look_at_sparse(tensor, held, stats=stats)
            tensor = tensor if held is None else held
            return _look_in_torch(tensor, stats=stats) if reason is None else reason or None
        except (RuntimeError, NotImplementedError, ValueError) as error:
            return f"{type(error).__name__}: {error}".partition("\n")[0][:200]


def _look_in_torch(tensor: torch.Tensor, *, stats: bool) -> Look:
    values = tensor.detach()
    if values._is_zerotensor():
        values = torch.zeros(values.shape, dtype=values.dtype, device=values.device)
    if values.dtype.is_complex:
        return _look_at_complex(values, stats=stats)
    if values.dtype.itemsize == 1 and values.dtype.is_floating_point:
        values = values.float()
    if values.dtype not in CODES:
        return f"{values.dtype} elements can't be read".removeprefix("torch.")
    if not stats:
        if not values.dtype.is_floating_point:
            return None
        if values.dim() and bool(torch.isfinite(values).all()):
            return True
    return stats_of(values)


def _look_at_complex(values: torch.Tensor, *, stats: bool) -> Look:
    """A complex tensor has no order: only counts and the norm have a meaning."""
    if values.dtype is torch.complex32:
        values = values.to(torch.complex64)
    parts = torch.view_as_real(values.resolve_conj())
    if not stats and bool(torch.isfinite(parts).all()):
        return True
    whole = stats_of(parts)
    zero = int((values == 0).sum())
    return Stats(whole.nan, whole.pos_inf, whole.neg_inf, zero, l2=whole.l2)


def _look_at_sparse(tensor: torch.Tensor, held: torch.Tensor, *, stats: bool) -> Look:
    """What is not stored is zero: that leaves the counts and, where no place is stored twice, the norm."""
    look = _look_in_torch(held.contiguous(), stats=stats)
    if not isinstance(look, Stats):
        return look
    if tensor.layout is torch.sparse_coo and not tensor.is_coalesced():
        return Stats(look.nan, look.pos_inf, look.neg_inf)
    zero = tensor.numel() - held.numel() + look.zero
    return Stats(look.nan, look.pos_inf, look.neg_inf, zero, l2=look.l2)


def unreadable(tensor: torch.Tensor) -> str | None:
    """Return why a tensor's elements can't be looked at, "" where there are none, None where they can."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"tensor subclass {type(tensor).__name__}"
    if tensor.is_nested:
        return "nested tensor"
    if tensor.layout is not torch.strided:
        return f"{str(tensor.layout).removeprefix('torch.').lstrip('_')} tensor"
    if tensor.device.type == "meta":
        return "meta tensor has no data"
    if tensor.is_quantized:
        return "quantized tensor"
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return "tensor inside a torch.func transform"
    return "" if tensor.numel() == 0 else None


def stats_of(values: torch.Tensor) -> Stats:
    """Return the statistics of a strided tensor of real numbers that has elements.

    ``std`` is the population's (divided by the count); ``l2`` the root of the sum of squares.
    """
    if _kernel is not None and values.device.type == "cpu":
        values = values.contiguous()
        return _summary(values.data_ptr(), values.numel(), CODES[values.dtype])
    nan = positive = negative = 0
    kept = values.reshape(-1).double()
    if values.dtype.is_floating_point:
        nan = int(kept.isnan().sum())
        positive, negative = int((kept == math.inf).sum()), int((kept == -math.inf).sum())
        kept = kept[torch.isfinite(kept)]
    zero = int((kept == 0).sum())
    if not kept.numel():
        return Stats(nan, positive, negative, zero)
    return Stats(
        nan, positive, negative, zero,
        number(kept.min().item()), number(kept.max().item()), number(kept.mean().item()),
        number(kept.std(unbiased=False).item()), number(kept.norm().item()),
    )  # fmt: skip


def _summary(address: int, count: int, code: int) -> Stats:
    nan, positive, negative, zero, finite, low, high, mean, std, l2 = _kernel.summary(address, count, code)
    if not finite:
        return Stats(nan, positive, negative, zero)
    return Stats(nan, positive, negative, zero, low, high, number(mean), number(std), number(l2))
