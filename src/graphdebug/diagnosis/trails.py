"""Trails: where data come from that a program makes in plain Python, before any recorded op takes them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graphdebug.diagnosis.calls import argument, called
from graphdebug.diagnosis.scopes import own_statements, parameters, scopes_around
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site

__all__ = ["Place", "base", "origin", "picked", "steps", "trail", "value_at"]

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
class Place:
    """A value as it is written on a line, and the calls that led into the function it stands in."""

    value: ast.expr
    site: Site
    calls: tuple[tuple[ast.Call, Site], ...] = ()

    @property
    def line(self) -> Site:
        """The line that the value itself stands on: `site` may be where its statement begins."""
        return Site(self.site.file, getattr(self.value, "lineno", 0) or self.site.line)


def trail(source: SourceText, value: ast.expr | Place, site: Site) -> list[tuple[Site, str]]:
    """Return the lines that gave the value of `value`, written at `site`, on, the last one first, each with the
    name it was taken by there: the line at the end computed or read it.

    Names are followed to their assignments, slices and conversions to what they are of, calls of the program's
    own functions and methods to what they return, parameters to what the call gave, attributes to where the
    class sets them, loops to what they go over.
    """
    lines: dict[Site, str] = {}
    place = value if isinstance(value, Place) else Place(value, site)
    for before in steps(source, place):
        lines.setdefault(before.site, base(place.value))
        place = before
    return list(lines.items())


def steps(source: SourceText, place: Place) -> Iterator[Place]:
    """Yield where the value at `place` was written before, and before that, to where it is computed or read."""
    seen = set[tuple[Site, str]]()
    for _ in range(_FURTHEST):
        before = _before(source, place)
        key = (before.site, ast.unparse(before.value)) if before is not None else None
        if before is None or key is None or key in seen:
            break
        seen.add(key)
        yield before
        place = before


def value_at(source: SourceText, site: Site) -> ast.expr | None:
    """Return what the statement on a line assigns, or the line's own expression."""
    tree = source.tree(site.file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Assign | ast.Expr) and node.lineno <= site.line <= (node.end_lineno or 0):
            return node.value
    return None


def origin(source: SourceText, site: Site) -> Site | None:
    """Return the line that computed or read what the line at `site` takes over or converts; None if it does."""
    value = value_at(source, site)
    lines = trail(source, value, site) if value is not None else []
    return lines[-1][0] if lines and lines[-1][0].line != site.line else None


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


def _before(source: SourceText, place: Place) -> Place | None:
    """Return where the value at `place` was written before; None where it is computed or read there."""
    value = _unwrapped(place.value)
    if isinstance(value, ast.Subscript):
        return _item(source, value, place)
    if isinstance(value, ast.Call):
        return _given_back(source, value, place, None)
    if isinstance(value, ast.Attribute):
        return _attribute(source, value, place)
    return _named(source, value.id, place) if isinstance(value, ast.Name) else None


def _named(source: SourceText, name: str, place: Place) -> Place | None:
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
                return Place(ast.Name(name), made, place.calls)  # it changes parts of what was there before
            found = _assigned(source, node.targets, node.value, name, Place(node.value, made, place.calls))
            if found is not None:
                return found
        elif isinstance(node, ast.For | ast.AsyncFor) and _holds(node.target, name):
            return _looped(source, node, name, Place(node.iter, made, place.calls))
    return None


def _assigned(
    source: SourceText, targets: Sequence[ast.expr], value: ast.expr, name: str, place: Place
) -> Place | None:
    """Return the part of an assigned value that `name` was given."""
    for target in targets:
        if ast.unparse(target) == name:
            return place
        if isinstance(target, ast.Tuple | ast.List) and _holds(target, name):
            at = next((i for i, one in enumerate(target.elts) if _holds(one, name)), 0)
            if isinstance(target.elts[at], ast.Tuple | ast.List):
                return place
            return _part(source, value, at, place)
    return None


def _part(source: SourceText, value: ast.expr, at: int, place: Place) -> Place:
    """Return the `at`-th of several values; the whole, where the parts can't be told."""
    if isinstance(value, ast.Tuple | ast.List) and at < len(value.elts):
        return Place(value.elts[at], place.site, place.calls)
    given = _given_back(source, value, place, at) if isinstance(value, ast.Call) else None
    return given or Place(ast.Constant(None), place.site, place.calls)


def _looped(source: SourceText, loop: ast.For | ast.AsyncFor, name: str, place: Place) -> Place:
    """Return what a loop gives `name` the values of: what it goes over, or what a generator yields."""
    over, target = loop.iter, loop.target
    at = next((i for i, one in enumerate(target.elts) if _holds(one, name)), 0) if isinstance(
        target, ast.Tuple | ast.List) else None  # fmt: skip
    if isinstance(over, ast.Call) and called(over) == "enumerate" and over.args and at == 1:
        over, target = over.args[0], target.elts[1] if isinstance(target, ast.Tuple) else target
        at = next((i for i, one in enumerate(target.elts) if _holds(one, name)), 0) if isinstance(
            target, ast.Tuple | ast.List) else None  # fmt: skip
    if isinstance(over, ast.Call) and called(over) == "zip" and at is not None and at < len(over.args):
        return Place(over.args[at], place.site, place.calls)
    if isinstance(over, ast.Call):
        given = _given_back(source, over, place, at) or _iterated(source, over, place, at)
        if given is not None:
            return given
    made, call = source.assigned(over.id, place.site) if isinstance(over, ast.Name) else (None, None)
    if made is not None and isinstance(call, ast.Call):
        given = _iterated(source, call, Place(call, made, place.calls), at)
        if given is not None:
            return given
    return Place(over if isinstance(over, ast.Name) else ast.Constant(None), place.site, place.calls)


def _iterated(source: SourceText, call: ast.Call, place: Place, at: int | None) -> Place | None:
    """Return what an object of a class of the program's own, which `call` makes, gives when it is gone over."""
    for method in ("__iter__", "__next__", "__getitem__"):
        found = source.method(call, place.site, method)
        if found is not None:
            return _ended(source, *found, Place(call, place.site, (*place.calls, (call, place.site))), at)
    return None


def _given_back(source: SourceText, call: ast.Call, place: Place, at: int | None) -> Place | None:
    """Return what a function of the program's own gives back: all, or the `at`-th of several."""
    found = source.function(call, place.site)
    if found is None:
        return None
    return _ended(source, *found, Place(call, place.site, (*place.calls, (call, place.site))), at)


def _ended(
    source: SourceText, site: Site, function: ast.FunctionDef, place: Place, at: int | None
) -> Place | None:
    """Return what a function returns or yields last: all, or the `at`-th of several."""
    ends = [
        one for one in own_statements(function)
        if isinstance(one, ast.Return | ast.Yield) and one.value is not None
    ]  # fmt: skip
    if not ends:
        return None
    last = max(ends, key=lambda one: one.lineno)
    line = Site(site.file, last.lineno)
    calls = place.calls
    value = last.value
    if at is None or value is None:
        return Place(value or ast.Constant(None), line, calls)
    if isinstance(value, ast.Name):  # a name for a tuple
        _, tuple_ = source.assigned(value.id, line)
        value = tuple_ if isinstance(tuple_, ast.Tuple) else value
    return _part(source, value, at, Place(value, line, calls))


def _passed(source: SourceText, name: str, place: Place) -> Place | None:
    """Return what the call that led here gave for the parameter `name`."""
    tree = source.tree(place.site.file)
    around = scopes_around(tree, place.site.line)[0] if tree is not None else None
    if not isinstance(around, ast.FunctionDef) or tree is None:
        return None
    called_at = place.calls[-1] if place.calls else _only_call(tree, around, place.site.file)
    if called_at is None:
        return None
    call, site = called_at
    names = parameters(around)
    own = names[1:] if names[:1] == ["self"] else names
    value = argument(call, name, own.index(name)) if name in own else None
    return Place(value, site, place.calls[:-1]) if value is not None else None


def _only_call(tree: ast.Module, function: ast.FunctionDef, file: str) -> tuple[ast.Call, Site] | None:
    """Return the call of a function that is called in one place of its file."""
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Call) and called(one) == function.name]
    return (found[0], Site(file, found[0].lineno)) if len(found) == 1 else None


def _attribute(source: SourceText, value: ast.Attribute, place: Place) -> Place | None:
    """Follow an attribute to where the class of the object sets it."""
    name = f"self.{value.attr}"
    file = place.site.file
    if not _own_attribute(value):
        made = source.assigned(ast.unparse(value.value), place.site)[1]
        owner = source.constructor(made, place.site) if isinstance(made, ast.Call) else None
        if owner is None or not isinstance(made, ast.Call):
            return None
        file = owner[0].file
        place = Place(value, owner[0], (*place.calls, (made, place.site)))
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
    return _assigned(source, [target], node.value, name, Place(node.value, line, place.calls))


def _parts(target: ast.expr) -> Sequence[ast.expr]:
    return target.elts if isinstance(target, ast.Tuple | ast.List) else [target]


def _item(source: SourceText, value: ast.Subscript, place: Place) -> Place | None:
    """Follow an element with a constant index or key to where its owner was made."""
    key = value.slice.value if isinstance(value.slice, ast.Constant) else None
    owner = first = Place(value.value, place.site, place.calls)
    for before in (owner, *steps(source, owner)):
        found = picked(source, before, key)
        if found is not None:
            return found
        first = before if first is owner else first
    return first if first is not owner else None


def picked(source: SourceText, place: Place, key: object) -> Place | None:
    """Return what a dict, or several values, as written at `place`, have under a key or index."""
    if isinstance(place.value, ast.Dict):
        for name, one in zip(place.value.keys, place.value.values, strict=True):
            if isinstance(name, ast.Constant) and name.value == key:
                return Place(one, Site(place.site.file, one.lineno), place.calls)
    if isinstance(place.value, ast.Tuple | ast.List) and isinstance(key, int) and key >= 0:
        return _part(source, place.value, key, place)
    return None


def _holds(target: ast.expr, name: str) -> bool:
    return any(
        ast.unparse(one) == name for one in ast.walk(target) if isinstance(one, ast.Name | ast.Attribute)
    )
