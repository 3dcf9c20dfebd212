"""Ops that raise: called again as they like it, or raising as they would without us."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch

__all__ = ["drop_op_call", "numbers_as_tensors"]

_CALL_OP = torch._ops.OpOverload.__call__.__code__


def numbers_as_tensors(func: Any, args: Any, error: Exception) -> Any:
    """Return `args` as the op needs them, where torch gave us a number for a tensor of one element, else None.

    It does so for any such tensor that TorchScript made of a size, and not all ops take it back.
    """
    if "Expected a value of type 'Tensor' for argument" not in str(error):
        return None
    wanted = [str(argument.type) == "Tensor" for argument in func._schema.arguments]
    lost = [needs and isinstance(one, int | float) for one, needs in zip(args, wanted, strict=False)]
    if not any(lost):
        return None
    return tuple(torch.tensor(one) if gone else one for one, gone in zip(args, lost, strict=False))


def drop_op_call(trace: TracebackType | None) -> None:
    """Take torch's frame that calls the op for us out of the traceback: without us C++ calls it."""
    called = trace.tb_next if trace is not None else None
    if trace is not None and called is not None and called.tb_frame.f_code is _CALL_OP:
        trace.tb_next = called.tb_next
