"""Scopes: the functions and modules of the user's source, and the lines in them that give a name its value."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from graphdebug.model.event import Site

__all__ = [
    "Scope", "assignments", "attribute", "covers", "inside_function", "own_statements", "parameters", "reads",
    "scopes_around",
]  # fmt: skip

Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef


def attribute(tree: ast.Module, file: str, name: str) -> Site | None:
    """Return the last line that assigns ``self.<name>``, anywhere in the file."""
    lines = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute)
        and target.attr == name
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    ]
    return Site(file=file, line=max(lines)) if lines else None


def covers(node: ast.expr | ast.stmt, line: int) -> bool:
    """Whether the text of `node` is on `line`, too."""
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def scopes_around(tree: ast.Module, line: int) -> list[Scope]:
    """Return the functions that contain `line`, innermost first, then the module."""
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and covers(node, line)
    ]
    return [*sorted(functions, key=lambda node: -node.lineno), tree]


def inside_function(tree: ast.Module, line: int) -> bool:
    """Whether `line` is in a function."""
    return len(scopes_around(tree, line)) > 1


def own_statements(scope: Scope) -> Iterator[ast.AST]:
    """Walk a scope without entering the functions and classes inside it."""
    waiting: list[ast.AST] = list(scope.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def assignments(scope: Scope, name: str) -> Iterator[ast.stmt | ast.expr]:
    """Yield what gives `name` a value in `scope` itself."""
    for node in own_statements(scope):
        targets: Sequence[ast.AST] = ()
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor | ast.NamedExpr):
            targets = (node.target,)
        elif isinstance(node, ast.With | ast.AsyncWith):
            targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
        if any(isinstance(n, ast.Name) and n.id == name for t in targets for n in ast.walk(t)):
            yield node  # type: ignore[misc] # the kinds above are statements or named expressions


def reads(scope: Scope, name: str) -> Iterator[ast.Name]:
    """Yield where `scope` reads its name `name`, also in functions inside it that have no such name of their
    own.
    """
    waiting: list[ast.AST] = list(scope.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
            yield node
        own = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            name in parameters(node) or any(assignments(node, name))
        )
        waiting += () if own else ast.iter_child_nodes(node)


def parameters(scope: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the names of a function's parameters."""
    given = scope.args
    return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
