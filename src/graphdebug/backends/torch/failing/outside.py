"""Failures outside of ops: a gradient that is not there, what an optimizer, a load or a transform was given."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import torch
from torch import nn

from graphdebug.backends.torch.code.callsite import Names, node_at, value_of
from graphdebug.backends.torch.code.source import tree_of
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.failing.operands import Operation, operand_of_value
from graphdebug.backends.torch.nodes.facts import in_memory
from graphdebug.model.event import Site

__all__ = ["absent_gradient", "given", "loaded", "optimized", "optimizes", "reduced"]

_SIZES = re.compile(
    r"size mismatch for ([\w.]+): copying a param with shape torch\.Size\(\[([\d, ]*)\]\) from checkpoint, the "
    r"shape in current model is torch\.Size\(\[([\d, ]*)\]\)"
)
_KEYS = re.compile(r"(Missing|Unexpected) key\(s\) in state_dict: (.*)\.\s*$", re.MULTILINE)


def absent_gradient(
    recorder: EagerRecorder, error: BaseException, frame: FrameType, site: Site
) -> tuple[Operation, dict[str, Any]] | None:
    """Return the tensor whose ``.grad`` was None, where the user's line failed on a None.

    Nothing of the user's is called to find it.
    """
    if not isinstance(error, AttributeError | TypeError) or "NoneType" not in str(error):
        return None
    names = Names(frame)
    for node in _gradients_read(site):
        owner = value_of(node.value, names)
        if isinstance(owner, torch.Tensor) and _has_none(owner):
            operand = operand_of_value(recorder, owner, ast.unparse(node.value))
            detail = {
                "absent": True,
                "leaf": owner.is_leaf,
                "requires_grad": owner.requires_grad,
                "backwards": len(recorder.backwards),
            }
            return Operation("torch::grad", "grad", "other", (operand,), {}, (owner,)), detail
    return None


def _gradients_read(site: Site) -> Iterator[ast.Attribute]:
    """Yield the expressions ``x.grad`` of the failing expression, else of its line."""
    exact, tree = node_at(site), tree_of(site.file)
    for around in (exact, tree):
        for node in ast.walk(around) if around is not None else ():
            if (
                isinstance(node, ast.Attribute)
                and node.attr == "grad"
                and (around is exact or node.lineno == site.line)
            ):
                yield node


def _has_none(tensor: torch.Tensor) -> bool:
    """Whether a tensor has no gradient; asked of no tensor that would warn."""
    return (not tensor.is_leaf and not tensor.retains_grad) or tensor.grad is None


def optimized(
    recorder: EagerRecorder, inner: Sequence[FrameType], frame: FrameType | None, site: Site | None
) -> tuple[Operation | None, dict[str, Any]]:
    """Return the tensor that an optimizer refused, and what is known of the model it was to train."""
    ours = [one for one in inner if str(one.f_globals.get("__name__", "")).startswith("torch.optim")]
    refused = ours[-1].f_locals.get("param") if ours else None
    made = None
    if isinstance(refused, torch.Tensor):
        operand = operand_of_value(recorder, refused, "")
        made = Operation("torch::optimizer", "optimizer", "other", (operand,), {}, (refused,))
    module = next(given(frame, site, nn.Module), None) if frame is not None and site is not None else None
    if module is None or frame is None:
        return made, {}
    held = [one for each in module.modules() for one in each._parameters.values() if one is not None]
    detail: dict[str, Any] = {
        "module": recorder.modules.path(module, frame),
        "type": type(module).__name__,
        "parameters": len(held),
        "trainable": sum(one.requires_grad for one in held),
    }
    loose = recorder.modules.loose(module)
    if loose is not None:
        attribute, kind, line = loose
        detail |= {"loose": attribute, "kind": kind, "file": line.file, "line": line.line}
    return made, detail


def optimizes(inner: Sequence[FrameType]) -> bool:
    """Whether an optimizer was being made."""
    return any(
        str(one.f_globals.get("__name__", "")).startswith("torch.optim") and one.f_code.co_name == "__init__"
        for one in inner
    )


def given(frame: FrameType, site: Site, kind: type) -> Iterator[Any]:
    """Yield the objects of a class that are named in the failing expression."""
    node, names = node_at(site), Names(frame)
    for one in ast.walk(node) if node is not None else ():
        value = value_of(one, names) if isinstance(one, ast.Name | ast.Attribute) else None
        if isinstance(value, kind):
            yield value


def loaded(
    recorder: EagerRecorder, message: str, inner: Sequence[FrameType], frame: FrameType | None
) -> dict[str, Any]:
    """Return which parameter a checkpoint has in another shape, or not at all; its model is declared."""
    module = next(
        (
            one.f_locals.get("self") for one in inner
            if one.f_code.co_name == "load_state_dict" and isinstance(one.f_locals.get("self"), nn.Module)
        ),
        None,
    )  # fmt: skip
    path = recorder.modules.path(module, frame) if module is not None else ""
    around = f"{path}." if path else ""
    sizes = _SIZES.search(message)
    if sizes is not None:
        found, expected = ([int(n) for n in text.split(",") if n.strip()] for text in sizes.groups()[1:])
        return {"variable": around + sizes[1], "expected": expected, "found": found}
    keys = {which.lower(): re.findall(r'"([^"]+)"', names) for which, names in _KEYS.findall(message)}
    first = next(iter(keys.get("missing", ())), "")
    return {"variable": around + first if first else "", **keys}


def reduced(recorder: EagerRecorder, inner: Sequence[FrameType]) -> Operation | None:
    """Return what the function gave whose gradient a transform of ``torch.func`` was to take."""
    output = next((one.f_locals.get("output") for one in reversed(inner) if "output" in one.f_locals), None)
    if not isinstance(output, torch.Tensor):
        return None
    return Operation(
        "torch::grad", "grad", "other", (operand_of_value(recorder, in_memory(output), ""),), {}, ()
    )
