"""Tables: the entry of a list, as the user wrote it, from which one turn of a loop took a value."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.arguments import Arguments
from graphdebug.diagnosis.scopes import covers
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site

__all__ = ["entry_of"]

_Loop = ast.For | ast.comprehension


def entry_of(
    source: SourceText, value: ast.expr, frames: Sequence[Site], index: int, turns: int
) -> Site | None:
    """Return the line of the entry which gave `value`, an expression on the innermost line, its value in turn
    number `index` of `turns` of a loop over a list.

    None where no loop around the line counts over a list, as written, of as many entries.
    """
    tree = source.tree(frames[-1].file)
    used = {one.id for one in ast.walk(value) if isinstance(one, ast.Name)}
    for loop in reversed(_loops(tree, frames[-1].line) if tree is not None else []):
        named = {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}
        if not used & named:
            continue
        found = _listed(source, _gone_over(loop.iter), frames)
        if found is not None and len(found[1].elts) == turns:
            return Site(found[0].file, found[1].elts[index].lineno)
    return None


def _loops(tree: ast.Module, line: int) -> list[_Loop]:
    found: list[_Loop] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and covers(node, line):
            found.append(node)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp) and covers(node, line):
            found += node.generators
    return found


def _gone_over(value: ast.expr) -> ast.expr:
    """Return what an `enumerate` counts."""
    counted = isinstance(value, ast.Call) and getattr(value.func, "id", "") == "enumerate" and value.args
    return value.args[0] if counted and isinstance(value, ast.Call) else value


def _listed(
    source: SourceText, value: ast.expr, frames: Sequence[Site]
) -> tuple[Site, ast.List | ast.Tuple] | None:
    """Return the list that `value` is, as it is written: by its name, or under a key of a table or a settings
    object.
    """
    arguments, key = Arguments(source), ""
    for _ in range(4):
        if isinstance(value, ast.List | ast.Tuple):
            return frames[-1], value
        if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
            key, value = str(value.slice.value), value.value
        elif isinstance(value, ast.Attribute) and ast.unparse(value.value) != "self":
            key, value = value.attr, value.value
        settled = arguments.settled(value, frames)
        if settled is None:
            return None
        frames, value = [settled[0]], settled[1]
        under = _under(value, key) if key else None
        if under is not None:
            value, key = under, ""
        elif isinstance(value, ast.Name):
            return None
    return None


def _under(value: ast.expr, key: str) -> ast.expr | None:
    """Return what a dict, as written, or the call that made a settings object, has under `key`."""
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        return next(
            (one for name, one in pairs if isinstance(name, ast.Constant) and str(name.value) == key), None
        )
    if isinstance(value, ast.Call):
        return next((one.value for one in value.keywords if one.arg == key), None)
    return None
