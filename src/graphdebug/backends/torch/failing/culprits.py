"""What else a failure's message can be met with: the writes of an in-place change, the element out of range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.failing.operands import Operation
from graphdebug.model.event import number

__all__ = ["completed"]

_SAVED = re.compile(r"\[torch\.\w*Tensor \[([\d, ]*)\]\]")


def completed(
    recorder: EagerRecorder, category: str, detail: dict[str, Any], message: str, made: Operation
) -> dict[str, Any]:
    """Return `detail` with what the recorder knows about a failure of this category."""
    if category == "inplace":
        return detail | _writes(recorder, detail, message)
    if category == "backward_twice":
        return detail | _first_backward(recorder)
    if category == "index":
        return _element(made) | detail
    if category == "values":
        return detail | _range(made, detail)
    if category == "no_gradient":
        return detail | {"recording": torch.is_grad_enabled(), "frozen": recorder.modules.frozen()}
    return detail


def _writes(recorder: EagerRecorder, detail: dict[str, Any], message: str) -> dict[str, Any]:
    """The nodes that wrote the tensor since it was saved, and the forward node that saved it."""
    expected, found = detail.get("expected_version"), detail.get("found_version")
    if expected is None or found is None:
        return {}
    said = _SAVED.search(message)
    shape = tuple(int(size) for size in said[1].split(",") if size.strip()) if said else None
    fitting = [
        writes
        for writes in recorder.origins.histories()
        if writes[-1].version == found and any(one.version > expected for one in writes)
    ]
    exact = [writes for writes in fitting if writes[-1].kind.shape == shape] or fitting
    if not exact:
        return {}
    since = [one for one in exact[0] if one.version > expected]
    saved = recorder.builder.saver_of(since[0].before, since[0].seq)
    more = {"saved_by": saved} if saved is not None else {}
    return {"mutated_by": [one.seq for one in since], **more}


def _first_backward(recorder: EagerRecorder) -> dict[str, Any]:
    """Where the backward before the failing one was called."""
    places = [place.sites()[0] for place in recorder.backwards]
    first = places[-2] if len(places) > 1 else places[-1] if places else None
    if first is None:
        return {}
    return {"first": {key: getattr(first, key) for key in first.__struct_fields__}}


def _element(made: Operation) -> dict[str, Any]:
    """The first element out of the range that the other operand gives: an index into rows, a class number."""
    by_role = {one.role: tensor for one, tensor in zip(made.operands, made.tensors, strict=True)}
    index = by_role.get("labels") if made.family == "loss" else by_role.get("index")
    size = _size(made.function, by_role)
    if index is None or size is None or index.dtype.is_floating_point or index.device.type == "meta":
        return {}
    with torch._C._DisableTorchDispatch(), torch.no_grad():
        ignored = made.attributes.get("ignore_index", -100) if made.family == "loss" else None
        bad = (index < 0) | (index >= size)
        if ignored is not None:
            bad &= index != ignored
        where = bad.nonzero()
        if not len(where):
            return {}
        place: Sequence[int] = where[0].tolist()
        counted = index if ignored is None else index[index != ignored]
        within = index[(index >= 0) & (index < size)]
        used = {"within": [int(within.min()), int(within.max())]} if len(within) else {}
        return {
            "index": list(place), "value": int(index[tuple(place)]), "low": 0, "high": size,
            "least": int(counted.min()), "alike": bool((index[bad] == index[tuple(place)]).all()), **used,
        }  # fmt: skip


def _range(made: Operation, detail: dict[str, Any]) -> dict[str, Any]:
    """The least and the largest element of what has values that the call does not take."""
    role = {"input": "input", "target": "labels"}.get(detail.get("word", ""), "")
    for operand, tensor in zip(made.operands, made.tensors, strict=True):
        if (
            operand.role == role
            and isinstance(tensor, torch.Tensor)
            and tensor.numel()
            and not tensor.is_complex()
        ):
            with torch._C._DisableTorchDispatch(), torch.no_grad():
                least, largest = tensor.detach().aminmax()
                return {"least": number(float(least)), "largest": number(float(largest))}
    return {}


def _size(function: str, by_role: dict[str, Any]) -> int | None:
    table = by_role.get("weight") if function == "embedding" else by_role.get("input")
    if table is None or not table.dim():
        return None
    if function in ("nll_loss", "cross_entropy"):
        return int(table.shape[1 if table.dim() > 1 else 0])
    return int(table.shape[0]) if function == "embedding" else None
