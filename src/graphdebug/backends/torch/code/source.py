"""Finding in the user's source the line that made a thing: ``self.fc = nn.Linear(...)``, ``net = Net()``."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from graphdebug.model.event import Site
from graphdebug.model.syntax import tree_of_text

__all__ = [
    "added_call",
    "assigned_attribute",
    "assigned_name",
    "call_arguments",
    "keyed_value",
    "site_of",
    "tree_of",
]

_SEQUENCES = ("Sequential", "ModuleList")
_WRAPPERS = ("compile", "DataParallel", "DistributedDataParallel")


@lru_cache(maxsize=256)
def tree_of(file: str) -> ast.Module | None:
    """Return the syntax tree of a source file, or None where there is none."""
    return tree_of_text("".join(linecache.getlines(file)))


def assigned_attribute(owner: type, name: str) -> tuple[str, ast.expr] | None:
    """Return file and value of the last ``self.<name> = value`` in the source of a class or its bases."""
    for one in owner.__mro__:
        found = _in_class(one, name)
        if found is not None:
            return found
    return None


def assigned_name(file: str, name: str, function: str) -> ast.expr | None:
    """Return the value of the assignment to `name` in `function` of a file, else at its top level."""
    tree = tree_of(file)
    if tree is None:
        return None
    scopes: list[ast.AST] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
    ]
    for scope in [*scopes, tree]:
        found = [value for target, value in _assignments(scope) if _is_name(target, name)]
        made = [value for value in found if not _uses(value, name)]  # ``net = net.to(device)`` makes nothing
        if found:
            return (made or found)[-1]
    return None


def call_arguments(value: ast.expr) -> list[ast.expr] | None:
    """Return the positional arguments of the call that makes a sequence, a list's elements where it has just
    that; else None. What is then called on it (``.to(device)``), or with it (``compile``), is looked through.
    """
    while isinstance(value, ast.Call) and _called(value) not in _SEQUENCES:
        if isinstance(value.func, ast.Attribute) and isinstance(value.func.value, ast.Call):
            value = value.func.value
        elif _called(value) in _WRAPPERS and value.args:
            value = value.args[0]
        else:
            return None
    if not isinstance(value, ast.Call):
        return None
    arguments = value.args
    if len(arguments) == 1 and isinstance(arguments[0], ast.List | ast.Tuple):
        arguments = arguments[0].elts
    if any(isinstance(one, ast.Starred) for one in arguments):
        return None
    return arguments


def keyed_value(value: ast.expr, key: str) -> ast.expr:
    """Return what a call that makes a dict of layers gives for `key`, else the whole call."""
    given = value.args[0] if isinstance(value, ast.Call) and value.args else None
    if isinstance(given, ast.DictComp):
        return given.value
    for one, held in zip(given.keys, given.values, strict=True) if isinstance(given, ast.Dict) else ():
        if isinstance(one, ast.Constant) and one.value == key:
            return held
    return value


def added_call(file: str, value: ast.expr, kind: str) -> ast.expr | None:
    """Return the one call of `kind` that was added to the list or sequence which `value` makes, in the very
    function that makes it: ``layers.append(nn.ReLU())``, ``layers += [nn.ReLU()]``; None if not just one.
    """
    tree = tree_of(file)
    around = [one for one in ast.walk(tree) if _contains(one, value)] if tree is not None else []
    scope = next((one for one in reversed(around) if isinstance(one, ast.FunctionDef)), tree)
    if scope is None or not isinstance(value, ast.Call):
        return None
    given = [one.value if isinstance(one, ast.Starred) else one for one in value.args]
    names = {ast.unparse(one) for one in given if isinstance(one, ast.Name)}
    names |= {ast.unparse(target) for target, made in _assignments(scope) if made is value}
    found = [call for one in _added(scope, names) for call in ast.walk(one) if isinstance(call, ast.Call)]
    made = [one for one in found if _called(one) == kind]
    return made[0] if len(made) == 1 else None


def _contains(node: ast.AST, value: ast.expr) -> bool:
    return isinstance(node, ast.FunctionDef) and any(one is value for one in ast.walk(node))


def _added(scope: ast.AST, names: set[str]) -> list[ast.expr]:
    """Return what `scope` adds to the lists of these names."""
    found = [made for target, made in _assignments(scope) if ast.unparse(target) in names]
    for node in ast.walk(scope):
        if isinstance(node, ast.AugAssign) and ast.unparse(node.target) in names:
            found.append(node.value)
        method = node.func if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        adds = method is not None and method.attr in ("append", "extend", "insert")
        if adds and isinstance(node, ast.Call) and method is not None and ast.unparse(method.value) in names:
            found += node.args
    return found


def site_of(file: str, node: ast.expr, function: str = "") -> Site:
    """Return the site of an expression."""
    return Site(
        file, node.lineno, node.col_offset, node.end_lineno or 0,
        -1 if node.end_col_offset is None else node.end_col_offset, function,
    )  # fmt: skip


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _uses(value: ast.expr, name: str) -> bool:
    return any(_is_name(node, name) for node in ast.walk(value))


def _in_class(owner: type, name: str) -> tuple[str, ast.expr] | None:
    try:
        file = inspect.getsourcefile(owner)
    except TypeError:  # a builtin class
        return None
    if file is None:
        return None
    value = _attributes(file).get((owner.__qualname__.rpartition(".")[2], name))
    return None if value is None else (file, value)


@lru_cache(maxsize=256)
def _attributes(file: str) -> dict[tuple[str, str], ast.expr]:
    """What the classes of a file assign to their attributes, by class and attribute; the last one."""
    tree = tree_of(file)
    classes = [] if tree is None else [one for one in ast.walk(tree) if isinstance(one, ast.ClassDef)]
    assigned = {
        (one.name, target.attr): value
        for one in classes
        for target, value in _assignments(one)
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)  # not everyone says self
    }
    registered = {(one.name, name): value for one in classes for name, value in _registered(one)}
    return assigned | registered


def _registered(scope: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield name and value of what a class registers: ``self.register_buffer("mask", ...)``."""
    for node in ast.walk(scope):
        if isinstance(node, ast.Call) and _called(node) in ("register_buffer", "register_parameter"):
            given = [*node.args, *(one.value for one in node.keywords if one.arg in ("tensor", "param"))]
            if len(given) > 1 and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
                yield given[0].value, given[1]


def _assignments(scope: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    found: list[tuple[ast.expr, ast.expr]] = []
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                found.extend(_unpacked(target, node.value))
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            found.append((node.target, node.value))
    return found


def _unpacked(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if not isinstance(target, ast.Tuple | ast.List):
        return [(target, value)]
    if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(one, value) for one in target.elts]


def _is_name(node: Any, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
