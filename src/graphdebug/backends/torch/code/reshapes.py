"""What a reshape was asked for: torch fills in a -1 before an op runs, the user's source still has it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from graphdebug.backends.torch.code.callsite import node_at
from graphdebug.model.event import Site

__all__ = ["asked_for", "written_as"]

_CALLS = ("view", "reshape")
_WRITTEN = frozenset(("flatten", "unflatten", "ravel", "reshape", "reshape_as", "view", "view_as"))
_FOLDS = {ast.Add: int.__add__, ast.Sub: int.__sub__, ast.Mult: int.__mul__, ast.FloorDiv: int.__floordiv__}


def written_as(site: Site | None, flattened: tuple[int, int] | None) -> str:
    """Return the function by which the user reshaped, "" where the line does not say: torch runs a view."""
    if flattened is not None:
        return "flatten"
    call = node_at(site) if site is not None else None
    name = _name_and_arguments(call)[0] if isinstance(call, ast.Call) else ""
    return name if name in _WRITTEN else ""


def asked_for(
    site: Site | None, target: Sequence[Any], shape: Sequence[Any], flattened: tuple[int, int] | None
) -> list[Any]:
    """Return `target` with a -1 where the user wrote one.

    Args:
        site: the user's line.
        target: the sizes torch computed.
        shape: the shape of the input.
        flattened: first and last axis that a Flatten module joins, where one ran the op.

    """
    call = node_at(site) if site is not None else None
    if flattened is None and isinstance(call, ast.Call):
        flattened = _flatten_axes(call)
    if flattened is not None:
        return _with_join(list(target), len(shape), *flattened)
    sizes = _written_sizes(call) if isinstance(call, ast.Call) else None
    if sizes is None or len(sizes) != len(target):
        return list(target)
    return [-1 if written == -1 else size for written, size in zip(sizes, target, strict=True)]


def _with_join(target: list[Any], rank: int, first: int, last: int) -> list[Any]:
    first, last = first % rank if rank else 0, last % rank if rank else 0
    if len(target) == rank - (last - first) and first < len(target):
        target[first] = -1
    return target


def _flatten_axes(call: ast.Call) -> tuple[int, int] | None:
    name, arguments = _name_and_arguments(call)
    if name != "flatten":
        return None
    found = [0, -1]
    for index, one in enumerate(arguments[:2]):
        found[index] = _number(one, found[index])
    for keyword in call.keywords:
        if keyword.arg in ("start_dim", "end_dim"):
            found[keyword.arg == "end_dim"] = _number(keyword.value, -1)
    return found[0], found[1]


def _written_sizes(call: ast.Call) -> list[int | None] | None:
    name, arguments = _name_and_arguments(call)
    if name not in _CALLS:
        return None
    if len(arguments) == 1 and isinstance(arguments[0], ast.Tuple | ast.List):
        arguments = arguments[0].elts
    if any(isinstance(one, ast.Starred) for one in arguments):
        return None
    return [_fold(one) for one in arguments]


def _name_and_arguments(call: ast.Call) -> tuple[str, list[ast.expr]]:
    """The called method, without the tensor that ``torch.reshape(x, ...)`` has as its first argument."""
    if not isinstance(call.func, ast.Attribute):
        return "", []
    functional = isinstance(call.func.value, ast.Name) and call.func.value.id == "torch"
    return call.func.attr, call.args[1:] if functional else call.args


def _number(node: ast.expr, otherwise: int) -> int:
    value = _fold(node)
    return otherwise if value is None else value


def _fold(node: ast.expr) -> int | None:
    """The number that an expression of literals is; None where it holds a name."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _fold(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _FOLDS:
        left, right = _fold(node.left), _fold(node.right)
        return None if left is None or not right else _FOLDS[type(node.op)](left, right)
    return None
