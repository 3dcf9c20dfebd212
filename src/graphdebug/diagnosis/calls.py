"""Calls: the calls, names and loops on a line of the user's source."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from operator import add, floordiv, mul, sub

from graphdebug.model.event import Site

__all__ = [
    "Function",
    "argument",
    "call_at",
    "called",
    "calls_at",
    "calls_on",
    "function_around",
    "is_number",
    "iterated",
    "names_used",
    "number_in",
    "place_of",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef

_ARITHMETIC: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Mult: mul,
    ast.Add: add,
    ast.Sub: sub,
    ast.FloorDiv: floordiv,
}
_TELLING = 4
"""Letters of a function's name up to which it may be a part of another's by chance."""


def function_around(tree: ast.Module, line: int) -> Function | None:
    """Return the innermost function that `line` is in."""
    inside = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return max(inside, key=lambda node: node.lineno, default=None)


def call_at(tree: ast.Module, site: Site, function: str) -> ast.Call | ast.BinOp | None:
    """Return the one call or operator that `calls_at` finds; None if there are several."""
    found = calls_at(tree, site, function)
    return found[0] if len(found) == 1 else None


def calls_at(tree: ast.Module, site: Site, function: str) -> Sequence[ast.Call | ast.BinOp]:
    """Return the call or operator at the very columns of `site`; without columns (AutoGraph's lines have none),
    the calls of that name, or all that there is on the line.
    """
    found = list(calls_on(tree, site.line))
    if site.column >= 0:
        at = (site.line, site.column, site.end_line or site.line, site.end_column)
        exact = [n for n in found if (n.lineno, n.col_offset, n.end_lineno, n.end_col_offset) == at]
        return exact[:1]
    calls = [n for n in found if isinstance(n, ast.Call)]
    word = function.replace("_", "")
    named = [n for n in calls if called(n).replace("_", "") == word]
    if not named and len(word) > _TELLING:  # softmax_cross_entropy_with_logits for cross_entropy
        named = [n for n in calls if word in called(n).replace("_", "")]
    if not named and function in ("forward", "call", "__call__"):  # what is called is an object of the user's
        outside = imported(tree)
        named = [n for n in calls if ast.unparse(n.func).partition(".")[0] not in outside]
    return named or calls or found


def argument(call: ast.Call, name: str, place: int | None) -> ast.expr | None:
    """Return what `call` gives for a parameter, by its name or its place."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[place] if place is not None and place < len(call.args) else None


def place_of(function: Function | ast.Lambda, name: str) -> int | None:
    """Return where calls of `function` have its parameter `name`; None where they can only name it."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    names = names[1:] if names[:1] == ["self"] else names
    return names.index(name) if name in names else None


def imported(tree: ast.Module) -> set[str]:
    """Return the names that the file imports."""
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Import | ast.ImportFrom)]
    return {(name.asname or name.name).partition(".")[0] for one in found for name in one.names}


def calls_on(tree: ast.Module, line: int) -> Iterator[ast.Call | ast.BinOp]:
    """Yield the calls and operators whose text is on `line`, too, the outer ones first."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call | ast.BinOp) and node.lineno <= line <= (node.end_lineno or node.lineno):
            yield node


def called(call: ast.Call) -> str:
    """Return the last name of what `call` calls."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def names_used(tree: ast.Module, line: int) -> list[str]:
    """Return the names that are read on `line`, in the order of the text."""
    names = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.lineno == line and isinstance(node.ctx, ast.Load)
    ]
    return list(dict.fromkeys(one.id for one in sorted(names, key=lambda node: node.col_offset)))


def iterated(tree: ast.Module, name: str, line: int) -> ast.expr | None:
    """Return the name of what a loop or comprehension around `line` takes the values of `name` from."""
    found: list[ast.For | ast.comprehension] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and node.lineno <= line <= (node.end_lineno or node.lineno):
            found.append(node)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp) and (
            node.lineno <= line <= (node.end_lineno or node.lineno)
        ):
            found += node.generators
    for one in reversed(found):
        if any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(one.target)):
            calls = [part for part in ast.walk(one.iter) if isinstance(part, ast.Call)]
            if any(called(part) == "range" for part in calls):  # it counts
                return None
            functions = {id(part.func) for part in calls}
            names = [n for n in ast.walk(one.iter) if isinstance(n, ast.Name) and id(n) not in functions]
            return ast.Name(names[0].id) if len({part.id for part in names}) == 1 else None
    return None


def is_number(value: ast.expr | None, size: int) -> bool:
    """Whether an expression is the whole number `size`: one as it is written, or several, computed with."""
    return number_in(value) == size


def number_in(value: ast.expr | None) -> int | None:
    """Return the whole number that an expression of nothing but numbers is; None where it is none."""
    if isinstance(value, ast.Constant):
        return value.value if type(value.value) is int else None
    if not isinstance(value, ast.BinOp) or type(value.op) not in _ARITHMETIC:
        return None
    left, right = number_in(value.left), number_in(value.right)
    if left is None or right is None or (right == 0 and isinstance(value.op, ast.FloorDiv)):
        return None
    return _ARITHMETIC[type(value.op)](left, right)
