"""Switches: where the source turns gradients off, and which tensors it wants gradients of."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site

__all__ = ["block_without", "freezing", "graded", "left_off"]

_Test = Callable[[ast.Assign | ast.Expr], bool]
_BLOCKS = ("no_grad", "inference_mode", "set_grad_enabled(False)")


def block_without(source: SourceText, frames: Sequence[Site]) -> Site | None:
    """Return the line of the ``with`` or decorator around one of `frames` under which no graph is recorded."""
    return next((found for one in frames if (found := source.within(one, _BLOCKS)) is not None), None)


def freezing(source: SourceText, frames: Sequence[Site]) -> list[Site]:
    """Return the lines that take ``requires_grad`` from weights, each loop over them before what it does.

    Those in functions that `frames` are in come first; those of whole files only where there are none.
    """
    near = [site for one in frames for site in _in_function(source, one, _freezes)]
    if near:
        return list(dict.fromkeys(near))
    files = dict.fromkeys(one.file for one in frames)
    return [site for file in files for site in _statements(source.tree(file), file, _freezes)]


def left_off(source: SourceText, frames: Sequence[Site]) -> list[Site]:
    """Return the statements that turn recording off until something turns it on again."""
    files = dict.fromkeys(one.file for one in frames)
    return [site for file in files for site in _statements(source.tree(file), file, _turns_off)]


def graded(source: SourceText, site: Site) -> set[str]:
    """Return the names whose ``.grad`` the file of `site` reads, or that it gives an optimizer in a list."""
    found: set[str] = set()
    tree = source.tree(site.file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Attribute) and node.attr == "grad":
            found.add(ast.unparse(node.value))
        elif isinstance(node, ast.Call) and "optim" in ast.unparse(node.func):
            lists = [one for one in node.args[:1] if isinstance(one, ast.List | ast.Tuple)]
            found.update(ast.unparse(one) for each in lists for one in each.elts)
    return found


def _in_function(source: SourceText, site: Site, wanted: _Test) -> Iterator[Site]:
    """Yield the statements of the function around `site`."""
    tree = source.tree(site.file)
    around = [
        node for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.lineno <= site.line <= (node.end_lineno or node.lineno)
    ]  # fmt: skip
    inner = max(around, key=lambda node: node.lineno, default=None)
    yield from _statements(inner, site.file, wanted)


def _statements(tree: ast.AST | None, file: str, wanted: _Test) -> Iterator[Site]:
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.For):
            inner = [one for one in ast.walk(node) if isinstance(one, ast.Assign | ast.Expr)]
            if any(wanted(one) and _owner(one) in _names(node.target) for one in inner):
                yield Site(file=file, line=node.lineno)
        elif isinstance(node, ast.Assign | ast.Expr) and wanted(node):
            yield Site(file=file, line=node.lineno)


def _names(target: ast.expr) -> set[str]:
    return {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}


def _owner(node: ast.Assign | ast.Expr) -> str:
    """Return the name of what a statement freezes."""
    if isinstance(node, ast.Assign):
        held = node.targets[0]
    else:
        held = node.value.func if isinstance(node.value, ast.Call) else node.value
    return ast.unparse(held.value) if isinstance(held, ast.Attribute) else ""


def _freezes(node: ast.Assign | ast.Expr) -> bool:
    """Whether a statement sets ``requires_grad`` to False."""
    if isinstance(node, ast.Assign):
        held = node.targets[0]
        return isinstance(held, ast.Attribute) and held.attr == "requires_grad" and _is_false(node.value)
    call = node.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return False
    given = [*call.args, *(one.value for one in call.keywords)]
    return call.func.attr == "requires_grad_" and len(given) == 1 and _is_false(given[0])


def _turns_off(node: ast.Assign | ast.Expr) -> bool:
    """Whether a statement, no ``with``, turns recording off."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    words = ast.unparse(node.value)
    return words.endswith(("set_grad_enabled(False)", "no_grad().__enter__()", "inference_mode().__enter__()"))


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False
