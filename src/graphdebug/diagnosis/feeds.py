"""Feeds: what a run of a session feeds its placeholders, as the user's source has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from graphdebug.diagnosis.scopes import covers
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site

__all__ = ["fed", "fed_value"]


def fed(source: SourceText, run: Site, placeholder: Site, name: str = "") -> Site | None:
    """Return the line that gave the value which the call at `run` feeds to the placeholder made at
    `placeholder`: the value's assignment, else the feed itself. `name` tells it from others of its line.
    """
    given = fed_value(source, run, placeholder, name)
    if given is None:
        return None
    found = source.assignment(given.id, run) if isinstance(given, ast.Name) else None
    return found or Site(file=run.file, line=given.lineno)


def fed_value(source: SourceText, run: Site, placeholder: Site, name: str = "") -> ast.expr | None:
    """Return the expression that the call at `run` feeds to the placeholder made at `placeholder`."""
    tree = source.tree(run.file)
    made = source.tree(placeholder.file)
    names = _assigned_at(made, placeholder.line) if made is not None else set()
    names = {name} if name in names else names | ({name} if name else set())
    for value in _values_near(tree, run.line) if tree is not None and names else ():
        feed = _feed_dict(source, value, run)
        for key, given in zip(feed.keys, feed.values, strict=True) if feed is not None else ():
            if key is not None and ast.unparse(key) in names:
                return given
    return None


def _feed_dict(source: SourceText, value: ast.expr, run: Site) -> ast.Dict | None:
    """Return the dict that `value` is, or that the name `value` was last assigned."""
    if isinstance(value, ast.Name):
        site, tree = source.assignment(value.id, run), source.tree(run.file)
        for node in ast.walk(tree) if tree is not None and site is not None else ():
            if isinstance(node, ast.Assign) and site is not None and node.lineno == site.line:
                value = node.value
    return value if isinstance(value, ast.Dict) else None


def _assigned_at(tree: ast.Module, line: int) -> set[str]:
    """Return the names, as written, that the statement at `line` assigns."""
    return {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and covers(node, line)
        for target in node.targets
    }


def _values_near(tree: ast.Module, line: int) -> Iterator[ast.expr]:
    """Yield what the calls on `line` are given."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and covers(node, line):
            yield from node.args
            yield from (keyword.value for keyword in node.keywords)
