"""Trails: where data come from that a program makes in plain Python, before any recorded op takes them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from graphdebug.diagnosis.calls import argument, called
from graphdebug.diagnosis.scopes import own_statements, parameters, scopes_around
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site

__all__ = ["base", "trail"]

_FURTHEST = 12
"""Lines that data are followed back through."""
_CONVERTING = (
    "array", "asarray", "astype", "tensor", "as_tensor", "from_numpy", "constant", "convert_to_tensor", "float",
    "copy", "reshape", "ravel", "flatten", "values", "to_numpy", "FloatTensor", "Tensor", "float32", "to",
    "cast", "transpose", "squeeze", "expand_dims", "unsqueeze", "batch", "shuffle", "repeat", "prefetch",
)  # fmt: skip
"""Calls that give the numbers on as they are."""
_MODULES = ("np", "numpy", "tf", "torch", "keras", "jnp", "pd")


@dataclass(frozen=True, slots=True)
class _Place:
    """A value as it is written on a line, and the calls that led into the function it stands in."""

    value: ast.expr
    site: Site
    calls: tuple[tuple[ast.Call, Site], ...] = ()


def trail(source: SourceText, value: ast.expr, site: Site) -> list[tuple[Site, str]]:
    """Return the lines that gave the value of `value`, written at `site`, on, the last one first, each with the
    name it was taken by there: the line at the end computed or read it.

    Names are followed to their assignments, slices and conversions to what they are of, calls of the program's
    own functions and methods to what they return, parameters to what the call gave, attributes to where the
    class sets them, loops to what they go over.
    """
    lines: dict[Site, str] = {}
    place = _Place(value, site)
    for _ in range(_FURTHEST):
        before = _before(source, place)
        if before is None:
            break
        lines.setdefault(before.site, base(place.value))
        place = before
    return list(lines.items())


def base(value: ast.expr) -> str:
    """Return the name of what an expression only slices or converts; empty where it computes or reads."""
    kept = _unwrapped(value)
    return ast.unparse(kept) if isinstance(kept, ast.Name) or _own_attribute(kept) else ""


def _own_attribute(value: ast.expr) -> bool:
    return isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "self"


def _unwrapped(value: ast.expr) -> ast.expr:
    """Return what an expression slices or converts, without the slices and conversions."""
    while True:
        sliced = isinstance(value, ast.Subscript) and not isinstance(value.slice, ast.Constant)
        turned = isinstance(value, ast.Attribute) and value.attr in ("T", "values")
        if sliced or turned or isinstance(value, ast.Starred):
            value = value.value  # type: ignore[attr-defined] # each of the three has one
        elif isinstance(value, ast.Tuple | ast.List) and _one_base(value.elts):
            value = value.elts[0]
        elif isinstance(value, ast.Call) and called(value) in _CONVERTING:
            owner = value.func.value if isinstance(value.func, ast.Attribute) else None
            of_module = not isinstance(owner, ast.expr) or ast.unparse(owner) in _MODULES
            if of_module and not value.args:
                return value
            value = value.args[0] if of_module or owner is None else owner
        else:
            return value


def _one_base(parts: Sequence[ast.expr]) -> bool:
    """Whether several expressions only slice or convert one name."""
    names = {base(one) for one in parts}
    return len(names) == 1 and "" not in names


def _before(source: SourceText, place: _Place) -> _Place | None:
    """Return where the value at `place` was written before; None where it is computed or read there."""
    value = _unwrapped(place.value)
    if isinstance(value, ast.Subscript):
        return _item(source, value, place)
    if isinstance(value, ast.Call):
        return _given_back(source, value, place, None)
    if isinstance(value, ast.Attribute):
        return _attribute(source, value, place)
    return _named(source, value.id, place) if isinstance(value, ast.Name) else None


def _named(source: SourceText, name: str, place: _Place) -> _Place | None:
    """Follow a name to its assignment, or a parameter to what the call gave for it."""
    made = source.assignment(name, place.site)
    if made is None:
        return _passed(source, name, place)
    tree = source.tree(made.file)
    for node in ast.walk(tree) if tree is not None else ():
        if getattr(node, "lineno", 0) != made.line:
            continue
        if isinstance(node, ast.Assign):
            if any(isinstance(target, ast.Subscript) and base(target) == name for target in node.targets):
                return _Place(ast.Name(name), made, place.calls)  # it changes parts of what was there before
            found = _assigned(source, node.targets, node.value, name, _Place(node.value, made, place.calls))
            if found is not None:
                return found
        elif isinstance(node, ast.For | ast.AsyncFor) and _holds(node.target, name):
            return _looped(source, node, name, _Place(node.iter, made, place.calls))
    return None


def _assigned(
    source: SourceText, targets: Sequence[ast.expr], value: ast.expr, name: str, place: _Place
) -> _Place | None:
    """Return the part of an assigned value that `name` was given."""
    for target in targets:
        if ast.unparse(target) == name:
            return None if base(value) == name else place
        if isinstance(target, ast.Tuple | ast.List) and _holds(target, name):
            at = next((i for i, one in enumerate(target.elts) if _holds(one, name)), 0)
            if isinstance(target.elts[at], ast.Tuple | ast.List):
                return place
            return _part(source, value, at, place)
    return None


def _part(source: SourceText, value: ast.expr, at: int, place: _Place) -> _Place:
    """Return the `at`-th of several values; the whole, where the parts can't be told."""
    if isinstance(value, ast.Tuple | ast.List) and at < len(value.elts):
        return _Place(value.elts[at], place.site, place.calls)
    given = _given_back(source, value, place, at) if isinstance(value, ast.Call) else None
    return given or _Place(ast.Constant(None), place.site, place.calls)


def _looped(source: SourceText, loop: ast.For | ast.AsyncFor, name: str, place: _Place) -> _Place:
    """Return what a loop gives `name` the values of: what it goes over, or what a generator yields."""
    over, target = loop.iter, loop.target
    at = next((i for i, one in enumerate(target.elts) if _holds(one, name)), 0) if isinstance(
        target, ast.Tuple | ast.List) else None  # fmt: skip
    if isinstance(over, ast.Call) and called(over) == "enumerate" and over.args and at == 1:
        over, target = over.args[0], target.elts[1] if isinstance(target, ast.Tuple) else target
        at = next((i for i, one in enumerate(target.elts) if _holds(one, name)), 0) if isinstance(
            target, ast.Tuple | ast.List) else None  # fmt: skip
    if isinstance(over, ast.Call) and called(over) == "zip" and at is not None and at < len(over.args):
        return _Place(over.args[at], place.site, place.calls)
    if isinstance(over, ast.Call):
        given = _given_back(source, over, place, at)
        if given is not None:
            return given
    return _Place(over if isinstance(over, ast.Name) else ast.Constant(None), place.site, place.calls)


def _given_back(source: SourceText, call: ast.Call, place: _Place, at: int | None) -> _Place | None:
    """Return what a function of the program's own gives back: all, or the `at`-th of several."""
    found = source.function(call, place.site)
    if found is None:
        return None
    site, function = found
    ends = [
        one for one in own_statements(function)
        if isinstance(one, ast.Return | ast.Yield) and one.value is not None
    ]  # fmt: skip
    if not ends:
        return None
    last = max(ends, key=lambda one: one.lineno)
    line = Site(site.file, last.lineno)
    calls = (*place.calls, (call, place.site))
    value = last.value
    if at is None or value is None:
        return _Place(value or ast.Constant(None), line, calls)
    if isinstance(value, ast.Name):  # a name for a tuple
        _, tuple_ = source.assigned(value.id, line)
        value = tuple_ if isinstance(tuple_, ast.Tuple) else value
    return _part(source, value, at, _Place(value, line, calls))


def _passed(source: SourceText, name: str, place: _Place) -> _Place | None:
    """Return what the call that led here gave for the parameter `name`."""
    tree = source.tree(place.site.file)
    around = scopes_around(tree, place.site.line)[0] if tree is not None else None
    if not isinstance(around, ast.FunctionDef) or not place.calls:
        return None
    call, site = place.calls[-1]
    names = parameters(around)
    own = names[1:] if names[:1] == ["self"] else names
    value = argument(call, name, own.index(name)) if name in own else None
    return _Place(value, site, place.calls[:-1]) if value is not None else None


def _attribute(source: SourceText, value: ast.Attribute, place: _Place) -> _Place | None:
    """Follow an attribute to where the class of the object sets it."""
    name = f"self.{value.attr}"
    file = place.site.file
    if not _own_attribute(value):
        made = source.assigned(ast.unparse(value.value), place.site)[1]
        owner = source.constructor(made, place.site) if isinstance(made, ast.Call) else None
        if owner is None or not isinstance(made, ast.Call):
            return None
        file = owner[0].file
        place = _Place(value, owner[0], (*place.calls, (made, place.site)))
    tree = source.tree(file)
    set_at = [
        (node, target) for node in (ast.walk(tree) if tree is not None else ()) if isinstance(node, ast.Assign)
        for target in node.targets for part in _parts(target)
        if ast.unparse(part) == name and base(node.value) != name
    ]  # fmt: skip
    if not set_at:
        return None
    node, target = min(set_at, key=lambda pair: pair[0].lineno)  # the others put other data in its place
    line = Site(file, node.lineno)
    return _assigned(source, [target], node.value, name, _Place(node.value, line, place.calls))


def _parts(target: ast.expr) -> Sequence[ast.expr]:
    return target.elts if isinstance(target, ast.Tuple | ast.List) else [target]


def _item(source: SourceText, value: ast.Subscript, place: _Place) -> _Place | None:
    """Follow an element with a constant index or key to where its owner was made."""
    key = value.slice.value if isinstance(value.slice, ast.Constant) else None
    owner = value.value
    made, given = (
        source.assigned(ast.unparse(owner), place.site) if isinstance(owner, ast.Name) else (None, None)
    )
    if made is None:
        return _before(source, _Place(owner, place.site, place.calls))
    if isinstance(given, ast.Dict):
        for name, one in zip(given.keys, given.values, strict=True):
            if isinstance(name, ast.Constant) and name.value == key:
                return _Place(one, Site(made.file, one.lineno), place.calls)
    if isinstance(key, int) and key >= 0 and given is not None:
        return _part(source, given, key, _Place(given, made, place.calls))
    return _Place(given, made, place.calls) if given is not None else _named(source, ast.unparse(owner), place)


def _holds(target: ast.expr, name: str) -> bool:
    return any(
        ast.unparse(one) == name for one in ast.walk(target) if isinstance(one, ast.Name | ast.Attribute)
    )
