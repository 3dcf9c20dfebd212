"""Bindings: what gave a parameter or an attribute its value, and which loops give a name theirs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from graphdebug.diagnosis.calls import argument, called, function_around, place_of
from graphdebug.diagnosis.configured import settings
from graphdebug.diagnosis.scopes import assignments, covers
from graphdebug.diagnosis.source import SourceText
from graphdebug.diagnosis.trails import Place
from graphdebug.model.event import Site

__all__ = ["around", "attribute_values", "class_around", "given_for", "loops_around", "path_to"]

Takes = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def given_for(source: SourceText, name: str, place: Place) -> list[Place]:
    """Return what calls gave for a parameter: the one that led here, else all of the file, else its default."""
    tree = source.tree(place.site.file)
    function = _taking(tree, name, place.site.line) if tree is not None else None
    if function is None or tree is None:
        return []
    at, maker = place_of(function, name), _called_as(source, tree, function, place.site)
    if place.calls and called(place.calls[-1][0]) == maker:
        pairs = [(place.calls[-1], place.calls[:-1])]
    else:
        calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call) and called(one) == maker]
        pairs = [((one, _site_of(one, place.site.file)), ()) for one in calls]
    found = [
        Place(value, _site_of(value, site.file), outer)
        for (call, site), outer in pairs if (value := _argument(call, name, at)) is not None
    ]  # fmt: skip
    default = _default(function, name)
    if len(found) < len(pairs) and default is not None:
        found.append(Place(default, _site_of(default, place.site.file)))
    return found


def _taking(tree: ast.Module, name: str, line: int) -> Takes | None:
    """Return the innermost function around a line that takes `name`, where none inside it assigns it."""
    found = [one for one in ast.walk(tree) if isinstance(one, Takes) and covers(one, line)]
    for function in sorted(found, key=lambda one: (-one.lineno, one.end_lineno or 0)):
        given = function.args
        if not isinstance(function, ast.Lambda) and any(assignments(function, name)):
            return None
        if name in [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]:
            return function
    return None


def _called_as(source: SourceText, tree: ast.Module, function: Takes, site: Site) -> str:
    """Return the name by which calls make use of a function: its class's, or what a lambda was assigned to."""
    if isinstance(function, ast.Lambda):
        made = (one for one in ast.walk(tree) if isinstance(one, ast.Assign) and one.value is function)
        target = next((one.targets[0] for one in made), None)
        return target.id if isinstance(target, ast.Name) else ""
    return class_around(source, site) if function.name == "__init__" else function.name


def _argument(call: ast.Call, name: str, at: int | None) -> ast.expr | None:
    """Return what a call gives for a parameter, also as a part of what it gives with a star."""
    stars = [place for place, one in enumerate(call.args) if isinstance(one, ast.Starred)]
    spread = [one.value for one in call.keywords if one.arg is None]
    if len(spread) == 1 and argument(call, name, at) is None:
        return ast.copy_location(ast.Subscript(spread[0], ast.Constant(name)), spread[0])
    if not stars or at is None or at < stars[0] or any(one.arg == name for one in call.keywords):
        return argument(call, name, at)
    star = call.args[stars[0]]
    if len(stars) > 1 or len(call.args) > stars[0] + 1 or not isinstance(star, ast.Starred):
        return None
    part = ast.Subscript(star.value, ast.Constant(at - stars[0]))
    return ast.copy_location(part, star)


def _default(function: Takes, name: str) -> ast.expr | None:
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    given = dict(zip(reversed(names), reversed(function.args.defaults), strict=False))
    words = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return given.get(name) or next((value for one, value in words if one.arg == name), None)


def attribute_values(source: SourceText, value: ast.Attribute, place: Place) -> list[Place]:
    """Return what was assigned to an attribute, by the class it is of or to a settings object."""
    tree = source.tree(place.site.file)
    if tree is None:
        return []
    own = isinstance(value.value, ast.Name) and value.value.id in ("self", "cls")
    found: list[Place] = []
    assigned = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
    for target, whole in ((target, node.value) for node in assigned for target in node.targets):
        for one, given in _pairs(target, whole):
            if isinstance(one, ast.Attribute) and one.attr == value.attr:
                found.append(Place(given, _site_of(given, place.site.file)))
    found += [one for node in ast.walk(tree) for one in _by_property(node, value.attr, place.site.file)]
    if own and found:
        return found
    named = [
        Place(given, _site_of(given, place.site.file)) for name, given in settings(tree) if name == value.attr
    ]
    made = [one for one in (*found, *named) if not _is_field(one.value, value.attr)]
    return list({(one.site.line, ast.unparse(one.value)): one for one in made}.values())


def _by_property(node: ast.AST, name: str, file: str) -> list[Place]:
    """Return what a property of that name gives, where a node is one that ends by giving something."""
    if not isinstance(node, ast.FunctionDef) or node.name != name:
        return []
    marked = "property" in [ast.unparse(one) for one in node.decorator_list]
    given = node.body[-1].value if isinstance(node.body[-1], ast.Return) else None
    return [Place(given, _site_of(given, file))] if marked and given is not None else []


def _is_field(value: ast.expr, name: str) -> bool:
    """Whether a value is but the field of that name itself, handed on."""
    return isinstance(value, ast.Attribute) and value.attr == name


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    several = isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)
    if several and len(target.elts) == len(value.elts):  # type: ignore[attr-defined] # both have elements
        yield from zip(target.elts, value.elts, strict=True)  # type: ignore[attr-defined]
    else:
        yield target, value


def loops_around(tree: ast.Module, line: int) -> list[tuple[ast.expr, ast.expr]]:
    """Return the targets of the loops around a line, the outer ones first, and what they go over."""
    found: list[tuple[ast.expr, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and covers(node, line):
            found.append((node.target, node.iter))
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp) and covers(node, line):
            found += [(one.target, one.iter) for one in node.generators]
    return found


def path_to(target: ast.expr, name: str) -> tuple[int, ...] | None:
    """Return the places by which `name` is reached in what a loop gives its target."""
    if isinstance(target, ast.Name):
        return () if target.id == name else None
    for at, one in enumerate(target.elts if isinstance(target, ast.Tuple | ast.List) else ()):
        inside = path_to(one, name)
        if inside is not None:
            return (at, *inside)
    return None


def around(source: SourceText, site: Site) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the innermost function around a line."""
    tree = source.tree(site.file)
    return function_around(tree, site.line) if tree is not None else None


def class_around(source: SourceText, site: Site) -> str:
    """Return the class whose method is around the line at `site`."""
    tree = source.tree(site.file)
    inside = [
        node for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.ClassDef) and covers(node, site.line)
    ]  # fmt: skip
    return max(inside, key=lambda node: node.lineno).name if inside else ""


def _site_of(value: ast.AST, file: str) -> Site:
    return Site(file, getattr(value, "lineno", 0))
