"""Feeds: what a run of a session feeds its placeholders, as the user's source has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from graphdebug.diagnosis.scopes import assignments, covers, scopes_around
from graphdebug.diagnosis.source import SourceText
from graphdebug.diagnosis.trails import Place, steps, trail
from graphdebug.model.event import Site

__all__ = ["fed", "fed_later", "fed_value"]

_RUNS = ("run", "eval")
"""Methods that are given feeds."""


def fed(source: SourceText, run: Site, placeholder: Site, name: str = "") -> Site | None:
    """Return the line that gave the value which the call at `run` feeds to the placeholder made at
    `placeholder`: the value's assignment, else the feed itself. `name` tells it from others of its line.
    """
    given = fed_value(source, run, placeholder, name)
    if given is None:
        return None
    found = source.assignment(given.value.id, given.site) if isinstance(given.value, ast.Name) else None
    return found or Site(file=given.site.file, line=given.value.lineno)


def fed_value(source: SourceText, run: Site, placeholder: Site, name: str = "") -> Place | None:
    """Return what the call at `run` feeds to the placeholder made at `placeholder`, and where it is written.

    The feeds may be written in the call, be made by another function or generator, or be kept under a name.
    """
    tree, made = source.tree(run.file), source.tree(placeholder.file)
    names = _assigned_at(made, placeholder.line) if made is not None else set()
    names = {name} if name in names else names | ({name} if name else set())
    for value in _values_near(tree, run.line) if tree is not None and names else ():
        found = list(_pairs(source, Place(value, run)))
        for alike in (_as_written, _by_last_name):
            given = [place for key, place in found if alike(key, names)]
            if given:
                return given[0]
        for key, place in found:  # it goes by another name there: a parameter's
            if any(site == placeholder for site, _ in trail(source, key, place.site)):
                return place
    return None


def fed_later(source: SourceText, placeholder: Site, name: str) -> Place | None:
    """Return what some run of the file will feed to a placeholder, which no run has reached."""
    tree = source.tree(placeholder.file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _RUNS:
            found = fed_value(source, Site(placeholder.file, node.lineno), placeholder, name)
            if found is not None:
                return found
    return None


def _pairs(source: SourceText, place: Place) -> Iterator[tuple[ast.expr, Place]]:
    """Yield the keys and values of the dict that `place` is, or that led to it."""
    for one in (place, *steps(source, place)):
        value = one.value
        if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "dict" and value.args:
            value = value.args[0]
        if not isinstance(value, ast.Dict):
            continue
        for key, given in zip(value.keys, value.values, strict=True):
            if key is None:
                yield from _pairs(source, Place(given, one.site, one.calls))
            else:
                yield key, Place(given, Site(one.site.file, given.lineno), one.calls)
    yield from _put_in(source, place)


def _put_in(source: SourceText, place: Place) -> Iterator[tuple[ast.expr, Place]]:
    """Yield what is put into a dict by its name: ``feeds[x] = batch``."""
    tree = source.tree(place.site.file)
    if tree is None or not isinstance(place.value, ast.Name):
        return
    for node in assignments(scopes_around(tree, place.site.line)[0], place.value.id):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(node, ast.Assign) and isinstance(target, ast.Subscript):
                yield target.slice, Place(node.value, Site(place.site.file, node.lineno), place.calls)


def _as_written(key: ast.expr, names: set[str]) -> bool:
    return ast.unparse(key) in names


def _by_last_name(key: ast.expr, names: set[str]) -> bool:
    """Whether a key is an attribute of that name, whatever the object is called here."""
    return isinstance(key, ast.Attribute) and key.attr in {name.rpartition(".")[2] for name in names}


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
