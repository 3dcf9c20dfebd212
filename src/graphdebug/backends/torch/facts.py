"""Tensors as facts: shape, dtype, device and layout, read once and cached; never the tensor itself."""

from __future__ import annotations

from typing import Any

import torch

from graphdebug.model.event import Shape, Stats, TensorFact

__all__ = ["Key", "Look", "describe", "dtype_word", "fact_of"]

Key = tuple[Any, Any, Any, str]
"""Shape, dtype, device and layout of a tensor as torch has them: hashable, cheap to take."""

Look = bool | str | Stats | None
"""What looking at the elements gave: finite, the reason they were not looked at, statistics, or not asked."""

_facts: dict[tuple[Any, ...], TensorFact] = {}
_words: dict[torch.dtype, str] = {}
_LARGEST_CACHE = 20_000


def describe(tensor: torch.Tensor) -> Key:
    """Return the key of any tensor: plain ones fast, special kinds (sparse, nested, fake ...) with care."""
    if tensor.layout is torch.strided and not tensor.is_nested:
        layout = "" if tensor.is_contiguous() else _strided_word(tensor)
        return tensor.shape, tensor.dtype, tensor.device, layout
    return _shape_of(tensor), tensor.dtype, tensor.device, _layout_word(tensor)


def fact_of(key: Key, look: Look = None, alias_of: int | None = None) -> TensorFact:
    """Return the fact for a key and what looking at the elements gave."""
    full = (*key, look if look is None or look is True else 0)
    cacheable = alias_of is None and (look is None or look is True)
    if cacheable and (fact := _facts.get(full)) is not None:
        return fact
    fact = _make(key, look, alias_of)
    if cacheable:
        if len(_facts) > _LARGEST_CACHE:
            _facts.clear()
        _facts[full] = fact
    return fact


def dtype_word(dtype: torch.dtype) -> str:
    """Return the numpy-like word for a dtype: ``float32``, ``bfloat16``."""
    word = _words.get(dtype)
    if word is None:
        word = _words[dtype] = str(dtype).removeprefix("torch.")
    return word


def _make(key: Key, look: Look, alias_of: int | None) -> TensorFact:
    shape, dtype, device, layout = key
    finite, unchecked, stats = _of_look(look)
    return TensorFact(
        _plain_shape(shape), dtype_word(dtype), str(device), layout, alias_of, finite, unchecked, stats
    )


def _of_look(look: Look) -> tuple[bool | None, str, Stats | None]:
    if look is None or isinstance(look, bool):
        return look, "", None
    if isinstance(look, str):
        return None, look, None
    return not (look.nan or look.pos_inf or look.neg_inf), "", look


def _plain_shape(shape: Any) -> Shape | None:
    if shape is None:
        return None
    return tuple([size if type(size) is int else _int_or_none(size) for size in shape])


def _int_or_none(size: Any) -> int | None:
    """A symbolic size with a known value as a number, any other as None, without adding a guard."""
    node = getattr(size, "node", None)
    hint = getattr(node, "_hint", None)
    return hint if type(hint) is int else None


def _shape_of(tensor: torch.Tensor) -> Any:
    try:
        return tuple(tensor.shape)
    except RuntimeError:  # a strided nested tensor has no single shape
        return None


def _strided_word(tensor: torch.Tensor) -> str:
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return "channels_last"
    if tensor.dim() == 5 and tensor.is_contiguous(memory_format=torch.channels_last_3d):
        return "channels_last_3d"
    return "strided"


def _layout_word(tensor: torch.Tensor) -> str:
    if tensor.is_nested:
        return "nested"
    return str(tensor.layout).removeprefix("torch.").lstrip("_")
