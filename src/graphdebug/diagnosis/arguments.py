"""Arguments: which of the user's expressions gave an operand, followed outwards through the calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.calls import (
    Function,
    argument,
    call_at,
    called,
    calls_at,
    function_around,
    is_number,
    iterated,
    names_used,
    number_in,
    place_of,
)
from graphdebug.diagnosis.configured import configured
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Operand, Site

__all__ = ["Arguments"]

_WORDS = {
    "labels": ("labels", "target", "y_true", "y"),
    "logits": ("logits", "input", "y_pred"),
    "input": ("input", "inputs", "x", "features", "value", "values"),
    "weight": ("weight", "filters", "filter"),
    "index": ("indices", "index", "ids"),
    "sample_weight": ("sample_weight",),
    "class_weight": ("class_weight",),
    "validation_data": ("validation_data",),
    "a": ("a", "x", "input"),
    "b": ("b", "y", "other"),
}
"""Words by which calls name an operand in each role."""
_PLACES = {"a": 0, "b": 1, "input": 0, "weight": 1, "logits": 0, "labels": 1, "index": -1}
"""Where a call has the operand in each role; an index comes last, after an axis if there is one."""


_FURTHEST = 8
"""Names that a value is followed through."""


class Arguments:
    """Reads calls in the source of a run."""

    def __init__(self, source: SourceText) -> None:
        self._source = source

    def given(self, site: Site, operand: Operand, function: str = "") -> ast.expr | None:
        """Return the expression that the call (or operator) at `site` gives for `operand`, by its role."""
        tree = self._source.tree(site.file)
        found = call_at(tree, site, function) if tree is not None else None
        if isinstance(found, ast.BinOp):
            return {"a": found.left, "input": found.left, "b": found.right}.get(operand.role)
        if not isinstance(found, ast.Call):
            return None
        for keyword in found.keywords:
            if keyword.arg in _WORDS.get(operand.role, ()):
                return keyword.value
        place = _PLACES.get(operand.role or "input")
        plain = found.args if not any(isinstance(one, ast.Starred) for one in found.args) else []
        return plain[place] if place is not None and place < len(plain) and plain else None

    def born(self, value: ast.expr, frames: Sequence[Site]) -> Site | None:
        """Return the line where the value of `value`, an expression in the innermost frame, was made.

        A name is followed to its assignment; a parameter to the argument of the call one frame out.

        Args:
            value: the expression.
            frames: the frames around it, outermost first.

        """
        frames = self._with_callers(frames)
        for position in range(len(frames) - 1, -1, -1):
            frame = frames[position]
            if (
                isinstance(value, ast.Attribute)
                and isinstance(value.value, ast.Name)
                and value.value.id == "self"
            ):
                return self._source.assignment(f"self.{value.attr}", frame)
            if not isinstance(value, ast.Name):
                return Site(file=frame.file, line=value.lineno)
            made = self._source.assignment(value.id, frame)
            if made is not None:
                return made
            outer = self.passed(value.id, frame, frames[position - 1]) if position else None
            if outer is None:
                return None
            value = outer
        return None

    def inside(self, value: ast.expr | None, site: Site) -> Site | None:
        """Return the line that made `value`, an expression at `site`, within the function of this file that
        gave it: what that returned in its place.
        """
        while isinstance(value, ast.Subscript):
            value = value.value
        made = self._source.assignment(value.id, site) if isinstance(value, ast.Name) else None
        tree = self._source.tree(made.file) if made is not None else None
        for node in ast.walk(tree) if tree is not None else ():
            if (
                isinstance(node, ast.Assign) and made is not None and node.lineno == made.line
                and isinstance(node.value, ast.Call) and isinstance(value, ast.Name)
            ):  # fmt: skip
                line, given = self._source.returned(node.value, made)
                return self._in_place(line, given, node.targets[0], value.id)
        return None

    def _in_place(self, line: Site | None, given: ast.expr | None, target: ast.expr, name: str) -> Site | None:
        """Return the line that made the part of `given`, returned at `line`, that `target` calls `name`."""
        if isinstance(target, ast.Name):
            return line
        if not isinstance(target, ast.Tuple) or not isinstance(given, ast.Tuple) or line is None:
            return None
        names = [one.id if isinstance(one, ast.Name) else "" for one in target.elts]
        if name not in names or len(names) != len(given.elts):
            return None
        part = given.elts[names.index(name)]
        while isinstance(part, ast.Call) and part.args:  # converted as it is returned
            part = part.args[0]
        found = self._source.assignment(part.id, line) if isinstance(part, ast.Name) else None
        return found or line

    def settled(self, value: ast.expr, frames: Sequence[Site]) -> tuple[Site, ast.expr] | None:
        """Return the line that set the value of `value`, an expression in the innermost frame, and what is
        written there.

        Names are followed through assignments of other names, a parameter to the argument of the call one
        frame out (or its default), an attribute of ``self`` to its assignment and, if ``__init__`` was given
        it, to the only call of the class.
        """
        frames = list(self._with_callers(frames))
        for _ in range(_FURTHEST):
            name = ast.unparse(value)
            own = isinstance(value, ast.Attribute) and name.startswith("self.")
            if not frames or not (isinstance(value, ast.Name) or own):
                break
            made, given = self._source.assigned(name, frames[-1])
            if made is not None:
                if given is None:
                    return made, value
                value = given
                frames = [*([] if own else frames[:-1]), made]
                frames = list(self._with_callers(frames)) if own else frames
                continue
            outer = self.passed(name, frames[-1], frames[-2]) if len(frames) > 1 else None
            left = self._default(name, frames[-1]) if outer is None else None
            if outer is None and left is None:
                return None
            value, frames = (outer, frames[:-1]) if outer is not None else (left or value, frames)
        if not frames:
            return None
        return Site(file=frames[-1].file, line=getattr(value, "lineno", frames[-1].line)), value

    def made_at(self, operand: Operand, frames: Sequence[Site], function: str = "") -> Site | None:
        """Return the line that made `operand`, as the call in the innermost frame names it."""
        value = self.given(frames[-1], operand, function) if frames else None
        return self.born(value, frames) if value is not None else None

    def sized(self, frames: Sequence[Site], size: int) -> tuple[Site, bool] | None:
        """Return the line that gave a name used in the innermost call the value `size`, and whether it was
        passed to the function around that call, as also a configuration is.
        """
        frames = _of_functions(frames)
        tree = self._source.tree(frames[-1].file) if frames else None
        if tree is None:
            return None
        for name in names_used(tree, frames[-1].line):
            value: ast.expr = ast.Name(name)
            part = False  # whether the value is one of several, of which the size is to be one
            for position in range(len(frames) - 1, -1, -1):
                if not isinstance(value, ast.Name):
                    break
                here = self._source.tree(frames[position].file)
                listed = iterated(here, value.id, frames[position].line) if here is not None else None
                if isinstance(listed, ast.Name):
                    value, part = listed, True
                passed = position < len(frames) - 1 or part
                made, given = self._source.assigned(value.id, frames[position])
                written = _number_in(given, size, part)
                if made is not None and (written is not None or self._comes_to(given, made, size)):
                    return (Site(made.file, written) if part and written is not None else made), passed
                if made is not None:
                    break
                outer = self.passed(value.id, frames[position], frames[position - 1]) if position else None
                if outer is None:
                    break
                written = _number_in(outer, size, part)
                if written is not None or (
                    not isinstance(outer, ast.Name) and self._comes_to(outer, frames[position - 1], size)
                ):
                    return Site(file=frames[position - 1].file, line=written or outer.lineno), True
                value = outer
        set_in = configured(self._source, frames, size)
        return (set_in, True) if set_in is not None else None

    def _comes_to(self, value: ast.expr | None, site: Site, size: int) -> bool:
        """Whether an expression that computes with names, or counts what a list has as written, is `size`."""
        return value is not None and self._number(value, site, 6) == size

    def _number(self, value: ast.expr, site: Site, depth: int) -> int | None:
        written = number_in(value)
        if written is not None or not depth:
            return written
        if isinstance(value, ast.Name):
            made, given = self._source.assigned(value.id, site)
            return self._number(given, made, depth - 1) if made is not None and given is not None else None
        if isinstance(value, ast.Call) and called(value) == "len" and len(value.args) == 1:
            return self._length(value.args[0], site)
        if isinstance(value, ast.BinOp):
            parts = [self._number(one, site, depth - 1) for one in (value.left, value.right)]
            known = [ast.Constant(one) for one in parts if one is not None]
            return number_in(ast.BinOp(known[0], value.op, known[1])) if len(known) == 2 else None
        return None

    def _length(self, value: ast.expr, site: Site) -> int | None:
        """Return how many elements a list, text or dict has, where it is written down."""
        if isinstance(value, ast.Name):
            value = self._source.assigned(value.id, site)[1] or value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return len(value.value)
        if isinstance(value, ast.List | ast.Tuple | ast.Set):
            return len(value.elts)
        return len(value.keys) if isinstance(value, ast.Dict) else None

    def decided(self, frames: Sequence[Site], size: int) -> Site | None:
        """Return the call that decided on a size which the innermost line has from a parameter alone.

        It is the outermost call up to which the parameter was only passed on. What it gives there must be
        `size`, or be computed while no other parameter of that line can be it; a default that the call left as
        it is counts for what it gives.
        """
        found: list[tuple[bool, Site]] = []
        frames = _of_functions(frames)
        tree = self._source.tree(frames[-1].file) if frames else None
        for name in names_used(tree, frames[-1].line) if tree is not None else ():
            one = self._decided(name, frames, size)
            if one is not None:
                found.append(one)
        certain = [site for sure, site in found if sure]
        return certain[0] if certain else found[0][1] if len(found) == 1 else None

    def _decided(self, name: str, frames: Sequence[Site], size: int) -> tuple[bool, Site] | None:
        value: ast.expr = ast.Name(name)
        place = None
        for position in range(len(frames) - 1, 0, -1):
            if (
                not isinstance(value, ast.Name)
                or self._source.assignment(value.id, frames[position]) is not None
            ):
                break
            outer = self.passed(value.id, frames[position], frames[position - 1])
            if outer is None:
                default = self._default(value.id, frames[position])
                return (True, frames[position - 1]) if is_number(default, size) else None
            value, place = outer, frames[position - 1]
        if place is None:
            return None
        if isinstance(value, ast.Name):
            _, value_given = self._source.assigned(value.id, place)
            value = value_given if value_given is not None else value
        if isinstance(value, ast.Constant):
            return (True, place) if is_number(value, size) else None
        return False, place

    def _default(self, name: str, inner: Site) -> ast.expr | None:
        """Return the default of the parameter `name` of the function around `inner`, if no call in the file
        gives it another value.
        """
        tree = self._source.tree(inner.file)
        function = function_around(tree, inner.line) if tree is not None else None
        if function is None or tree is None:
            return None
        place = place_of(function, name)
        if any(argument(one, name, place) is not None for one in _calls_of(tree, function)):
            return None
        names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        given = dict(zip(reversed(names), reversed(function.args.defaults), strict=False))
        words = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
        given |= {one.arg: value for one, value in words if value is not None}
        return given.get(name)

    def _with_callers(self, frames: Sequence[Site]) -> Sequence[Site]:
        """Return the frames with those outside that can only be one: the function is called in one place."""
        frames = _of_functions(frames)
        for _ in range(3):
            tree = self._source.tree(frames[0].file) if frames else None
            around = function_around(tree, frames[0].line) if tree is not None else None
            if tree is None or around is None:
                break
            calls = _calls_of(tree, around)
            if len(calls) != 1 or around.lineno <= calls[0].lineno <= (around.end_lineno or 0):
                break
            at = calls[0]
            place = Site(frames[0].file, at.lineno, at.col_offset, at.end_lineno or 0, at.end_col_offset or -1)
            frames = [place, *frames]
        return frames

    def passed(self, name: str, inner: Site, outer: Site) -> ast.expr | None:
        """Return what the call at `outer` gave for the parameter `name` of the function around `inner`."""
        tree, calling = self._source.tree(inner.file), self._source.tree(outer.file)
        function = function_around(tree, inner.line) if tree is not None else None
        if function is None or calling is None:
            return None
        place = place_of(function, name)
        calls = calls_at(calling, outer, function.name)
        given = [argument(one, name, place) for one in calls if isinstance(one, ast.Call)]
        alike = {ast.unparse(one) if one is not None else "" for one in given}
        return given[0] if len(alike) == 1 else None


def _calls_of(tree: ast.Module, function: Function) -> list[ast.Call]:
    """Return the calls in the file of a function; of its class, where it is an ``__init__``."""
    classes = (one.name for one in ast.walk(tree) if isinstance(one, ast.ClassDef) and function in one.body)
    name = next(classes, "") if function.name == "__init__" else function.name
    return [one for one in ast.walk(tree) if isinstance(one, ast.Call) and called(one) == name]


def _of_functions(frames: Sequence[Site]) -> list[Site]:
    """Return the frames without those of comprehensions, which stand in a function's own."""
    inner = [one.function.endswith((".<listcomp>", ".<genexpr>", ".<dictcomp>")) for one in frames[1:]]
    own = [one for one, inside in zip(frames, [*inner, False], strict=True) if not inside]
    return own or list(frames)


def _number_in(value: ast.expr | None, size: int, part: bool) -> int | None:
    """Return the line on which `value` says `size`: it is that number, a list or tuple (of a part, also a dict)
    with that number in it; the line it begins on, where several of its lines do. None where it does not.
    """
    if value is None or is_number(value, size):
        return value.lineno if value is not None and not part else None
    found = {one.lineno for one in _elements(value, part) if is_number(one, size)}
    return next(iter(found)) if len(found) == 1 else value.lineno if found else None


def _elements(value: ast.expr, part: bool) -> Iterator[ast.expr]:
    """Yield the elements of a list or tuple (of a part, also of a dict) as written, and of those in it."""
    inside = value.elts if isinstance(value, ast.List | ast.Tuple) else ()
    if part and isinstance(value, ast.Dict):
        inside = value.values
    for one in inside:
        yield one
        yield from _elements(one, part)
