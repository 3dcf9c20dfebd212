"""The plain tensor that holds the elements of one that is sparse, nested or split over ranks."""

from __future__ import annotations

import torch

__all__ = ["is_sparse", "stored_in"]

_COMPRESSED = frozenset((torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc))


def is_sparse(tensor: torch.Tensor) -> bool:
    """Whether elements that are zero may be left out of what is stored."""
    return tensor.layout is torch.sparse_coo or tensor.layout in _COMPRESSED


def stored_in(tensor: torch.Tensor) -> torch.Tensor | None:
    """Return the tensor that holds what `tensor` stores in this process; None where torch has no such thing.

    Of a DTensor that is this rank's shard: no communication is started.
    """
    kind = type(tensor)
    found: torch.Tensor | None = None
    if kind in (torch.Tensor, torch.nn.Parameter):
        if tensor.layout is torch.sparse_coo:
            found = tensor._values()
        elif tensor.layout in _COMPRESSED or tensor.is_nested:
            found = tensor.values()
    elif kind.__module__.startswith("torch.nested."):
        found = tensor._values
    elif kind.__module__.startswith("torch.distributed."):
        found = getattr(tensor, "_local_tensor", None)
    return found
