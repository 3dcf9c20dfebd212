"""The failing call in the user's source: its expressions, and the objects they name, without running code."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import FrameType, ModuleType, TracebackType
from typing import Any, NamedTuple

from torch import nn

from graphdebug.backends.torch.code.source import tree_of
from graphdebug.model.event import Site

__all__ = ["Argument", "CallSite", "Names", "call_site", "frames_of", "node_at", "value_of"]

_UNKNOWN = object()


class Argument(NamedTuple):
    """One expression of the failing call and the object it names, where that could be told."""

    text: str
    value: Any
    keyword: str = ""


class CallSite(NamedTuple):
    """The failing call."""

    callee: Any
    """The function, method or module called; None where it can't be told."""
    name: str
    """Its last name in the source: ``cross_entropy``, ``view``, ``fc``; ``[]`` for indexing."""
    arguments: tuple[Argument, ...]


def frames_of(traceback: TracebackType | None) -> list[tuple[FrameType, int]]:
    """Return the frames of a traceback with their instruction offsets, outermost first."""
    found = []
    while traceback is not None:
        found.append((traceback.tb_frame, traceback.tb_lasti))
        traceback = traceback.tb_next
    return found


def call_site(frame: FrameType, site: Site) -> CallSite | None:
    """Return the call at `site`, whose names are looked up in `frame`."""
    node = node_at(site)
    if node is None:
        return None
    names = Names(frame)
    if isinstance(node, ast.Call):
        return _of_call(node, names)
    if isinstance(node, ast.BinOp | ast.AugAssign):
        left, right = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
        return CallSite(None, type(node.op).__name__.lower(), (_argument(left, names), _argument(right, names)))
    if isinstance(node, ast.Compare):
        sides = (node.left, *node.comparators)
        return CallSite(None, "compare", tuple(_argument(one, names) for one in sides))
    if isinstance(node, ast.Subscript):
        return CallSite(None, "[]", (_argument(node.value, names), _argument(node.slice, names)))
    return None


@lru_cache(maxsize=10_000)
def node_at(site: Site) -> ast.AST | None:
    """Return the expression or augmented assignment that stands exactly at `site`."""
    tree = tree_of(site.file)
    return None if tree is None else next(_at(tree, site), None)


class Names(Mapping[str, Any]):
    """The names that code in a frame sees."""

    def __init__(self, frame: FrameType) -> None:
        self._scopes = (frame.f_locals, frame.f_globals, vars(builtins))

    def __getitem__(self, name: str) -> Any:
        for scope in self._scopes:
            if name in scope:
                return scope[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for scope in self._scopes:
            yield from scope

    def __len__(self) -> int:
        return sum(len(scope) for scope in self._scopes)


def _at(tree: ast.AST, site: Site) -> Iterator[ast.AST]:
    wanted = (site.line, site.column, site.end_line, site.end_column)
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.AugAssign):
            here = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
            if here == wanted and not isinstance(node, ast.Name | ast.Constant):
                yield node


def _of_call(node: ast.Call, names: Names) -> CallSite:
    callee = value_of(node.func, names)
    arguments: list[Argument] = []
    name = ""
    if isinstance(node.func, ast.Attribute):
        name = node.func.attr
        owner = value_of(node.func.value, names)
        if not isinstance(owner, ModuleType | nn.Module | type) and owner is not _UNKNOWN:
            arguments.append(Argument(ast.unparse(node.func.value), owner))
    elif isinstance(node.func, ast.Name):
        name = node.func.id
    for one in node.args:
        held = one.elts if isinstance(one, ast.List | ast.Tuple) else [one]
        arguments += [_argument(each, names) for each in held]
    arguments += [_argument(one.value, names, one.arg or "") for one in node.keywords]
    return CallSite(None if callee is _UNKNOWN else callee, name, tuple(arguments))


def _argument(node: ast.expr, names: Names, keyword: str = "") -> Argument:
    value = value_of(node, names)
    return Argument(ast.unparse(node), None if value is _UNKNOWN else value, keyword)


def value_of(node: ast.expr, names: Names) -> Any:
    """Return the object an expression names; nothing of the user's is called for it."""
    if isinstance(node, ast.Name):
        return names.get(node.id, _UNKNOWN)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Attribute):
        return _attribute(value_of(node.value, names), node.attr)
    if isinstance(node, ast.Subscript):
        return _item(value_of(node.value, names), value_of(node.slice, names))
    if isinstance(node, ast.Tuple | ast.List):
        return [value_of(one, names) for one in node.elts]
    return _UNKNOWN


def _attribute(owner: Any, name: str) -> Any:
    if owner is _UNKNOWN or owner is None:
        return _UNKNOWN
    try:
        held = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return _UNKNOWN
    if name in held:
        return held[name]
    if isinstance(owner, nn.Module):
        for table in (owner._parameters, owner._buffers, owner._modules):
            if name in table:
                return table[name]
    return _UNKNOWN


def _item(owner: Any, key: Any) -> Any:
    if isinstance(owner, nn.ModuleList | nn.Sequential) and type(key) is int:
        held = list(owner._modules.values())
        return held[key] if -len(held) <= key < len(held) else _UNKNOWN
    if type(owner) in (list, tuple, dict) and type(key) in (int, str):
        try:
            return owner[key]
        except (KeyError, IndexError, TypeError):
            return _UNKNOWN
    return _UNKNOWN
