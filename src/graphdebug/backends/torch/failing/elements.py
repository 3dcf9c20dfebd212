"""The elements of torch tensors as bytes, to be saved: of those that are plain memory, of any dtype."""

from __future__ import annotations

import ctypes
from typing import Any

import torch

from graphdebug.backends.protocol import Elements
from graphdebug.backends.torch.nodes.facts import dtype_word

__all__ = ["elements_of"]

_PLAIN = (torch.Tensor, torch.nn.Parameter)


def elements_of(tensor: Any) -> Elements | None:
    """Return the elements of a tensor; None of a subclass (its code is the user's), of one that is sparse,
    nested, quantized, without data, or wrapped by torch.func.
    """
    if type(tensor) not in _PLAIN or tensor.layout is not torch.strided or tensor.is_nested:
        return None
    if tensor.is_quantized or tensor.device.type == "meta":
        return None
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return None

    def read() -> bytes:
        with torch._C._DisableTorchDispatch(), torch.no_grad():
            plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
            return ctypes.string_at(plain.data_ptr(), size) if size else b""

    size = tensor.numel() * tensor.element_size()
    return Elements(dtype_word(tensor.dtype), tuple(tensor.shape), size, read)
