"""Origins: where the program wrote down a number, function or shape that a line far away makes use of."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product

from graphdebug.diagnosis.bindings import (
    around,
    attribute_values,
    class_around,
    given_for,
    loops_around,
    path_to,
)
from graphdebug.diagnosis.calls import called, calls_at
from graphdebug.diagnosis.configured import settings
from graphdebug.diagnosis.source import SourceText
from graphdebug.diagnosis.trails import Place, steps
from graphdebug.model.event import Site

__all__ = ["before", "chain", "elements", "leading", "numbers", "placed"]

_FURTHEST = 14
"""Steps that a value is followed back through."""
_AS_IS = ("int", "float", "list", "tuple", "Dimension", "abs")
"""Calls that give a number or several on as they are."""
_OVER = ("enumerate", "reversed", "sorted", "list", "tuple", "iter")
"""Calls that go over the very entries of what they are given."""

_MOST = 64
"""Values that an expression may have, above which it says nothing."""

Fits = Callable[[Place], bool]


def placed(source: SourceText, value: ast.expr, frames: Sequence[Site]) -> Place:
    """Return `value`, an expression on the innermost of `frames` (the outermost first), with the calls that led
    there.
    """
    calls: list[tuple[ast.Call, Site]] = []
    for outer, inner in pairwise(frames):
        tree, function = source.tree(outer.file), around(source, inner)
        names = [function.name] if function is not None else []
        names = [class_around(source, inner)] if names == ["__init__"] else names
        found = [
            one for name in names for one in (calls_at(tree, outer, name) if tree is not None else ())
            if isinstance(one, ast.Call) and called(one) == name
        ]  # fmt: skip
        if function is not None and function is not around(source, outer):
            calls = [*calls, (found[0], outer)] if len(found) == 1 else []
    return Place(value, frames[-1], tuple(calls))


def chain(source: SourceText, place: Place, fits: Fits) -> list[Place]:
    """Return the places where the value at `place` was written before, the last one first, as far as one alone
    `fits` at each step.
    """
    found: list[Place] = []
    for _ in range(_FURTHEST):
        fitting = [one for one in before(source, place) if fits(one)]
        lines = {(one.site.file, getattr(one.value, "lineno", 0)) for one in fitting}
        if len(lines) != 1:
            break
        place = fitting[0]
        found.append(place)
    return found


def leading(source: SourceText, place: Place, holds: Fits) -> list[Place]:
    """Return the `chain` from `place` to the one place that `holds`; empty where there is none."""
    way = chain(source, place, lambda one: _leads(source, one, holds))
    end = next((at for at, one in enumerate(way) if holds(one)), None)
    return way[: end + 1] if end is not None else []


def _leads(source: SourceText, place: Place, holds: Fits, depth: int = 0) -> bool:
    if holds(place) or depth > _FURTHEST:
        return holds(place)
    earlier = before(source, place)
    return len(earlier) <= _MOST and any(_leads(source, one, holds, depth + 1) for one in earlier)


def numbers(source: SourceText, place: Place, depth: int = 0) -> set[int]:
    """Return the whole numbers that an expression may be, as far as the program's text says it.

    They are several where a loop or several calls gave it.
    """
    value = _bare(place.value)
    if depth > _FURTHEST:
        return set()
    if isinstance(value, ast.Constant):
        return {value.value} if type(value.value) is int else set()
    if isinstance(value, ast.BinOp):
        left, right = (numbers(source, _at(one, place), depth + 1) for one in (value.left, value.right))
        made = (_computed(value.op, one, other) for one in left for other in right)
        return {one for one in made if one is not None} if len(left) * len(right) <= _MOST else set()
    if isinstance(value, ast.Call) and called(value) == "len" and len(value.args) == 1:
        return {_count(one) for one in _collections(source, _at(value.args[0], place))}
    earlier = before(source, place)
    if len(earlier) > _MOST:
        return set()
    return {size for one in earlier for size in numbers(source, one, depth + 1)}


def elements(source: SourceText, place: Place) -> list[list[Place]]:
    """Return the parts of each list or tuple that a value may be, as the program wrote it."""
    return [
        [_at(part, one) for part in value.elts]
        for one in _collections(source, place)
        if isinstance(value := _bare(one.value), ast.List | ast.Tuple)
        and not any(isinstance(part, ast.Starred) for part in value.elts)
    ]


def _collections(source: SourceText, place: Place, depth: int = 0) -> Iterator[Place]:
    """Yield the lists, tuples, sets, dicts and texts that a value may be, as written."""
    value = _bare(place.value)
    text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    if text or isinstance(value, ast.List | ast.Tuple | ast.Set | ast.Dict) or _is_dict_call(value):
        yield place
        return
    if depth < _FURTHEST and isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        sides = [_collections(source, _at(one, place), depth + 1) for one in (value.left, value.right)]
        yield from (_of_parts([*a, *b], value, place) for a, b in product(*map(_written_parts, sides)))
        return
    if depth < _FURTHEST and isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Slice):
        taken = _taken(value.slice)
        for parts in _written_parts(_collections(source, _at(value.value, place), depth + 1)):
            if taken is not None:
                yield _of_parts(parts[taken], value, place)
        return
    earlier = before(source, place) if depth < _FURTHEST else []
    for one in earlier if len(earlier) <= _MOST else ():
        yield from _collections(source, one, depth + 1)


def _written_parts(places: Iterator[Place]) -> list[list[ast.expr]]:
    """Return the parts of each list or tuple among `places`."""
    values = [_bare(one.value) for one in places]
    return [one.elts for one in values if isinstance(one, ast.List | ast.Tuple)]


def _of_parts(parts: list[ast.expr], value: ast.expr, place: Place) -> Place:
    return Place(ast.copy_location(ast.List(parts, ast.Load()), value), place.site, place.calls)


def _taken(part: ast.Slice) -> slice | None:
    """Return what a slice takes; None where its bounds are not written as numbers."""
    try:
        return slice(*(ast.literal_eval(one) if one else None for one in (part.lower, part.upper, part.step)))
    except ValueError:
        return None


def _is_dict_call(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and called(value) == "dict" and bool(value.keywords)


def _count(place: Place) -> int:
    value = _bare(place.value)
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return len(value.elts)
    if isinstance(value, ast.Dict):
        return len(value.keys)
    return len(value.keywords if isinstance(value, ast.Call) else str(getattr(value, "value", "")))


def before(source: SourceText, place: Place) -> list[Place]:
    """Return where a value was written before: in several places, where a loop or several calls gave it."""
    value = _bare(place.value)
    if isinstance(value, ast.Name):
        for ways in (_looped, given_for):
            found = ways(source, value.id, place)
            if found:
                return found
    elif isinstance(value, ast.Attribute):
        return attribute_values(source, value, place)
    elif isinstance(value, ast.Call) and called(value) == "getattr" and len(value.args) > 1:
        return [_at(value.args[1], place)]
    elif isinstance(value, ast.Subscript):
        item = _item(source, value, place)
        if item:
            return item
    if isinstance(value, ast.Name | ast.Subscript | ast.Call):
        step = next(steps(source, _at(value, place)), None)
        if step is not None and not _nothing(step.value):
            return [step]
        return _unpacked(source, value.id, place) if isinstance(value, ast.Name) else []
    return []


def _unpacked(source: SourceText, name: str, place: Place) -> list[Place]:
    """Return the part of a named tuple or list that was unpacked into `name` and others."""
    made = source.assignment(name, place.site)
    tree = source.tree(made.file) if made is not None else None
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Assign) and made is not None and node.lineno == made.line:
            for target in node.targets:
                names = target.elts if isinstance(target, ast.Tuple | ast.List) else []
                at = next((at for at, one in enumerate(names) if ast.unparse(one) == name), None)
                if at is not None and not any(isinstance(one, ast.Starred) for one in names):
                    part = ast.copy_location(ast.Subscript(node.value, ast.Constant(at)), node.value)
                    return [Place(part, made, place.calls)]
    return []


def _bare(value: ast.expr) -> ast.expr:
    """Return what a conversion (``int(...)``) is of."""
    while isinstance(value, ast.Call) and called(value) in _AS_IS and len(value.args) == 1:
        value = value.args[0]
    return value


def _at(value: ast.expr, place: Place) -> Place:
    line = getattr(value, "lineno", 0) or place.site.line
    inside = place.site if line == place.site.line else Site(place.site.file, line)
    return Place(value, inside, place.calls)


def _nothing(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _looped(source: SourceText, name: str, place: Place) -> list[Place]:
    """Return what the entries of a list, as written, gave a loop's variable."""
    tree = source.tree(place.site.file)
    for target, over in reversed(loops_around(tree, place.site.line) if tree is not None else []):
        path = path_to(target, name)
        if path is None:
            continue
        while isinstance(over, ast.Call) and called(over) in _OVER and len(over.args) >= 1:
            path = path[1:] if called(over) == "enumerate" and path[:1] == (1,) else path
            over = over.args[0]
        if isinstance(over, ast.Call) and called(over) == "zip" and path and path[0] < len(over.args):
            over, path = over.args[path[0]], path[1:]
        if isinstance(over, ast.Call) and called(over) == "items" and isinstance(over.func, ast.Attribute):
            return _items(source, _at(over.func.value, place), path)
        if isinstance(over, ast.Subscript) and isinstance(over.slice, ast.Slice):
            over = over.value
        found = [part for entries in elements(source, _at(over, place)) for part in entries]
        return _inside(source, found, path)
    return []


def _inside(source: SourceText, places: Sequence[Place], path: Sequence[int]) -> list[Place]:
    """Return what lies at `path` in each of several values."""
    found = list(places)
    for at in path:
        found = [parts[at] for one in found for parts in elements(source, one) if at < len(parts)]
    return found


def _items(source: SourceText, place: Place, path: Sequence[int]) -> list[Place]:
    """Return the values that a dict, as written, gives to a loop over its items."""
    dicts = [one for one in _collections(source, place) if isinstance(one.value, ast.Dict)]
    values = [_at(value, one) for one in dicts for value in one.value.values]  # type: ignore[attr-defined] # dicts
    return _inside(source, values, path[1:]) if path[:1] == (1,) else []


def _item(source: SourceText, value: ast.Subscript, place: Place) -> list[Place]:
    """Return the entry of a dict, list or tuple, as written, that a key or index takes.

    Of functions chosen by a name it is the place where the name was written.
    """
    own, found = _at(value.slice, place), list[Place]()
    keys = _keys(source, own)
    for one in _collections(source, _at(value.value, place)):
        entries = _entries(one)
        chosen = [(key, entry) for key, entry in entries if key in keys]
        if not isinstance(value.slice, ast.Constant | ast.UnaryOp) and _functions(entries):
            return [own]
        found += [entry for _, entry in (chosen if keys else entries)]
    tree = source.tree(place.site.file)
    if found or tree is None:
        return found
    # an entry that was put in, or a settings object's
    return [Place(one, Site(place.site.file, one.lineno)) for name, one in settings(tree) if name in keys]


def _keys(source: SourceText, place: Place) -> set[object]:
    """Return the keys or indices that an expression may be."""
    value = place.value
    if isinstance(value, ast.Constant):
        return {value.value}
    if isinstance(value, ast.UnaryOp | ast.BinOp):
        try:
            return {ast.literal_eval(value)}
        except ValueError:
            return {*numbers(source, place)}
    texts = [one.value for one in _collections(source, place)]
    return {one.value for one in texts if isinstance(one, ast.Constant)} | numbers(source, place)


def _entries(place: Place) -> list[tuple[object, Place]]:
    """Return the entries of a collection by their keys; those of a list also from its end."""
    value = _bare(place.value)
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        return [(key.value, _at(entry, place)) for key, entry in pairs if isinstance(key, ast.Constant)]
    if isinstance(value, ast.Call):
        return [(one.arg, _at(one.value, place)) for one in value.keywords]
    parts = value.elts if isinstance(value, ast.List | ast.Tuple) else []
    named = [*enumerate(parts), *((at - len(parts), one) for at, one in enumerate(parts))]
    return [(key, _at(entry, place)) for key, entry in named]


def _functions(entries: Sequence[tuple[object, Place]]) -> bool:
    """Whether a dict gives functions by their names."""
    values = [one.value for _, one in entries]
    return bool(values) and all(isinstance(one, ast.Attribute | ast.Lambda) for one in values)


def _computed(op: ast.operator, left: int, right: int) -> int | None:
    if isinstance(op, ast.FloorDiv | ast.Div):
        return left // right if right else None
    if isinstance(op, ast.Pow):
        return int(left**right) if 0 <= right < 32 and abs(left) < 1 << 16 else None
    ways: dict[type[ast.operator], Callable[[int, int], int]] = {
        ast.Mult: int.__mul__, ast.Add: int.__add__, ast.Sub: int.__sub__,
    }  # fmt: skip
    return ways[type(op)](left, right) if type(op) in ways else None
