"""Passed: what made a module that was passed into another's constructor, or made from a list of settings."""

from __future__ import annotations

import ast
import inspect

from graphdebug.backends.torch.code.source import assigned_name, tree_of

__all__ = ["listed", "passed_in"]

_Made = tuple[str, ast.expr]


def passed_in(owner: type, value: ast.expr, made: _Made | None) -> _Made | None:
    """Return file and expression that made what a constructor was given and assigned to an attribute.

    Args:
        owner: the class whose attribute it is.
        value: what its constructor assigned: the name of a parameter, or this returns None.
        made: the expression that made the owner.

    """
    call = _constructor(owner, made[1]) if made is not None and isinstance(value, ast.Name) else None
    if call is None or made is None or not isinstance(value, ast.Name):
        return None
    given = _argument(owner, call, value.id)
    if isinstance(given, ast.Name):
        given = assigned_name(made[0], given.id, _function_around(made[0], call.lineno))
    return (made[0], given) if isinstance(given, ast.Call) else None


def _constructor(owner: type, value: ast.expr) -> ast.Call | None:
    """Return the call of the class itself; what is then called on it (``.to(device)``) is looked through."""
    while isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        if name == owner.__name__:
            return value
        if not isinstance(value.func, ast.Attribute):
            return None
        value = value.func.value
    return None


def _argument(owner: type, call: ast.Call, name: str) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    try:
        names = list(inspect.signature(owner).parameters)
    except (TypeError, ValueError):
        return None
    place = names.index(name) if name in names else len(call.args)
    starred = any(isinstance(one, ast.Starred) for one in call.args)
    return call.args[place] if place < len(call.args) and not starred else None


def _function_around(file: str, line: int) -> str:
    tree = tree_of(file)
    inside = [
        one for one in (ast.walk(tree) if tree is not None else ())
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        and one.lineno <= line <= (one.end_lineno or one.lineno)
    ]  # fmt: skip
    return max(inside, key=lambda one: one.lineno).name if inside else ""


def listed(made: _Made, place: int, count: int) -> _Made | None:
    """Return the element of a list of settings that a layer of a sequence was made from.

    It is the only list of as many elements as the sequence has layers among the names that the expression
    which made the sequence uses: ``build(SPEC)``, ``nn.Sequential(*[make(one) for one in SPEC])``.
    """
    file, value = made
    names = {one.id for one in ast.walk(value) if isinstance(one, ast.Name)}
    around = _function_around(file, value.lineno)
    lists = [assigned_name(file, name, around) for name in sorted(names)]
    fitting = [
        one.elts for one in lists
        if isinstance(one, ast.List | ast.Tuple) and len(one.elts) == count > 1
        and all(isinstance(part, ast.Dict | ast.Tuple | ast.List | ast.Call) for part in one.elts)
    ]  # fmt: skip
    return (file, fitting[0][place]) if len(fitting) == 1 else None
