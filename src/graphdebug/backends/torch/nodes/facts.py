"""Tensors as facts: shape, dtype, device and layout, read once a kind; never the tensor itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from graphdebug.backends.torch.native import RECORD
from graphdebug.backends.whole import is_whole
from graphdebug.model.event import Number, Shape, Stats, TensorFact

__all__ = [
    "KINDS_HELD", "Kind", "Look", "Measured", "Valued", "dtype_word", "fact_of", "fact_of_operand",
    "in_memory", "kind_of",
]  # fmt: skip


class Valued:
    """Statistics together with elements (level values)."""

    __slots__ = ("stats", "values")

    def __init__(self, stats: Stats | None, values: tuple[Number | bool | str, ...]) -> None:
        self.stats = stats
        self.values = values


class Measured:
    """Statistics of an operand that are shown: of what is to become whole numbers."""

    __slots__ = ("stats",)

    def __init__(self, stats: Stats | None) -> None:
        self.stats = stats


Look = bool | str | Stats | Valued | Measured | None
"""What looking at the elements gave: finite, why they were not looked at, statistics, or not asked."""


class Kind:
    """What tensors of one type, shape, dtype, device and layout have in common."""

    __slots__ = ("code", "fact", "finite", "numel", "shape", "whole")

    def __init__(self, fact: TensorFact, numel: int = 0, code: int = -1) -> None:
        self.fact = fact
        self.shape = fact.shape
        self.finite = TensorFact(fact.shape, fact.dtype, fact.device, fact.layout, None, True)
        self.numel = numel
        self.code = code
        """The kernel's number for an element type it reads straight from memory, else -1."""
        self.whole = is_whole(fact.dtype)

    @property
    def inexact(self) -> bool:
        """Whether the elements are floating point or complex numbers, which may be non-finite."""
        return self.fact.dtype.startswith(("float", "bfloat", "complex"))


CODES = {
    torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3, torch.int64: 4, torch.int32: 5,
    torch.int16: 6, torch.int8: 7, torch.uint8: 8, torch.bool: 9, torch.uint16: 10,
    torch.uint32: 11, torch.uint64: 12,
}  # fmt: skip
"""The kernel's numbers for the element types it reads."""
_functorch = torch._C._functorch
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_MOST_KINDS = 20_000
_kinds: dict[tuple[Any, ...], Kind] = {}
_words: dict[torch.dtype, str] = {}


def kind_of_any(tensor: torch.Tensor) -> Kind:
    """Return the kind of any tensor; also of sparse, nested, fake and other special ones."""
    layout = tensor.layout
    try:
        strides = layout is not torch.strided or tensor.is_contiguous() or tensor.stride()
        key = (type(tensor), tensor.shape, tensor.dtype, tensor.device, layout, strides)
        kind = _kinds.get(key)
    except (RuntimeError, TypeError, NotImplementedError):  # no single shape, symbolic sizes, no strides
        return _make(tensor)
    if kind is None:
        if len(_kinds) > _MOST_KINDS:
            _kinds.clear()
        kind = _kinds[key] = _make(tensor)
    return kind


_EXCHANGE = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
KINDS_HELD: Any = None if RECORD is None else RECORD.Kinds(kind_of_any, *_PLAIN, _EXCHANGE)
"""The kinds seen so far, where the compiled code keeps them."""
kind_of: Callable[[torch.Tensor], Kind] = kind_of_any if KINDS_HELD is None else KINDS_HELD.of
"""Returns the kind of any tensor; also of sparse, nested, fake and other special ones."""


def fact_of(kind: Kind, look: Look = None, alias_of: int | None = None) -> TensorFact:
    """Return the fact of a tensor of this kind, given what looking at its elements gave."""
    if alias_of is None:
        if look is None:
            return kind.fact
        if look is True:
            return kind.finite
    fact = kind.fact
    values = look.values if isinstance(look, Valued) else ()
    finite, unchecked, stats = _of_look(look.stats if isinstance(look, Valued | Measured) else look)
    return TensorFact(
        fact.shape, fact.dtype, fact.device, fact.layout, alias_of, finite, unchecked, stats, values
    )


def fact_of_operand(kind: Kind, look: Look, *, measured: bool = False) -> TensorFact:
    """Return the fact of a tensor as an operand: it says whether it is finite, other statistics only if not, or
    where it is `measured`: of whole numbers that an op calculates with, and of what becomes whole numbers.
    """
    measured = isinstance(look, Measured) or (measured and kind.whole)
    if isinstance(look, Valued | Measured):
        look = look.stats
    if measured and isinstance(look, Stats):
        return fact_of(kind, look)
    if look is None or isinstance(look, str):
        return kind.fact
    if look is True or (isinstance(look, Stats) and not (look.nan or look.pos_inf or look.neg_inf)):
        return kind.finite
    return fact_of(kind, look)


def in_memory(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in memory behind one of a ``torch.func`` transform: all samples of a batch share it."""
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor


def dtype_word(dtype: torch.dtype) -> str:
    """Return the numpy-like word for a dtype: ``float32``, ``bfloat16``."""
    word = _words.get(dtype)
    if word is None:
        word = _words[dtype] = str(dtype).removeprefix("torch.")
    return word


def _of_look(look: bool | str | Stats | None) -> tuple[bool | None, str, Stats | None]:
    if look is None or isinstance(look, bool):
        return look, "", None
    if isinstance(look, str):
        return None, look, None
    return not (look.nan or look.pos_inf or look.neg_inf), "", look


def _make(tensor: torch.Tensor) -> Kind:
    layout = _layout_word(tensor)
    fact = TensorFact(_shape_of(tensor), dtype_word(tensor.dtype), str(tensor.device), layout)
    readable = type(tensor) in _PLAIN and tensor.device.type == "cpu" and not layout
    return Kind(fact, _count(tensor), CODES.get(tensor.dtype, -1) if readable else -1)


def _count(tensor: torch.Tensor) -> int:
    """The number of elements; 0 where it is not known."""
    try:
        count = tensor.numel()
    except RuntimeError:
        return 0
    return count if type(count) is int else 0


def _shape_of(tensor: torch.Tensor) -> Shape | None:
    try:
        return tuple([size if type(size) is int else _hint(size) for size in tensor.shape])
    except RuntimeError:  # a strided nested tensor has no single shape
        return None


def _hint(size: Any) -> int | None:
    """A symbolic size's known value, or None; asking the size itself would add a guard."""
    hint = getattr(getattr(size, "node", None), "_hint", None)
    return hint if type(hint) is int else None


def _layout_word(tensor: torch.Tensor) -> str:
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not torch.strided:
        return str(tensor.layout).removeprefix("torch.").lstrip("_")
    if tensor.is_contiguous():
        return ""
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return "channels_last"
    if tensor.dim() == 5 and tensor.is_contiguous(memory_format=torch.channels_last_3d):
        return "channels_last_3d"
    return "strided"
