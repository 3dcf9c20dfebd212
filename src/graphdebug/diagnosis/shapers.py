"""Shapers: the line of plain Python that gave data the shape they came in, told by what it does to axes."""

from __future__ import annotations

import ast
from dataclasses import replace

from graphdebug.diagnosis.calls import called
from graphdebug.diagnosis.source import SourceText
from graphdebug.diagnosis.trails import Place, steps
from graphdebug.model.event import Shape, Site

__all__ = ["shaper"]

_FURTHEST = 12
"""Lines that data are followed back through."""
_ALIKE = ("log", "log1p", "sqrt", "abs", "clip", "exp", "round", "nan_to_num", "sigmoid", "tanh")
_TURNING = ("transpose", "swapaxes", "moveaxis", "rollaxis", "permute", "rot90")
_CUTTING = (
    "delete", "drop", "concatenate", "hstack", "column_stack", "append", "pad", "resize", "insert", "iloc",
    "c_",
)  # fmt: skip
_FEWER = (
    "sum", "mean", "max", "min", "argmax", "argmin", "squeeze", "ravel", "flatten", "median", "std", "norm",
)  # fmt: skip
_MORE = ("expand_dims", "to_categorical", "one_hot", "eye", "get_dummies", "stack", "atleast_2d", "newaxis")
_ANY = ("reshape", "resize", "tile", "repeat")


def shaper(source: SourceText, place: Place, wanted: Shape, given: Shape) -> tuple[Site, bool] | None:
    """Return the line that made data `given` which should be `wanted`, and whether it does what makes the
    difference: turns axes, cuts columns, takes or adds an axis. Else the line that computed or read the data.

    Args:
        source: the program.
        place: where the data are used.
        wanted: the shape that was due; None is any size.
        given: the shape that came.

    """
    last: Site | None = None
    for _ in range(_FURTHEST):
        if _does(place.value, wanted, given):
            return place.site, True
        before = next(steps(source, replace(place, value=_of_same_shape(place.value))), None)
        if before is None:
            break
        place, last = before, before.site
    return (last, False) if last is not None else None


def _of_same_shape(value: ast.expr) -> ast.expr:
    """Return what an expression scales, shifts or maps number by number."""
    while True:
        if isinstance(value, ast.BinOp) and isinstance(value.right, ast.Constant):
            value = value.left
        elif isinstance(value, ast.BinOp) and isinstance(value.left, ast.Constant):
            value = value.right
        elif isinstance(value, ast.Call) and called(value) in _ALIKE and value.args:
            value = value.args[0]
        else:
            return value


def _does(value: ast.expr, wanted: Shape, given: Shape) -> bool:
    words = {called(one) for one in ast.walk(value) if isinstance(one, ast.Call)}
    words |= {one.attr for one in ast.walk(value) if isinstance(one, ast.Attribute)}
    indices = [one.slice for one in ast.walk(value) if isinstance(one, ast.Subscript)]
    if len(given) < len(wanted):
        return bool(words & {*_FEWER, *_ANY}) or any(_takes_one(one) for one in indices)
    if len(given) > len(wanted):
        return bool(words & {*_MORE, *_ANY}) or any(_adds_one(one) for one in indices)
    known = [size for size in wanted if size is not None]
    if all(size in given for size in known):
        return bool(words & {*_TURNING, *_ANY, "T"})
    return bool(words & {*_CUTTING, *_TURNING, *_ANY, "T"}) or any(_cuts_columns(one) for one in indices)


def _takes_one(index: ast.expr) -> bool:
    """Whether an index takes one row or column of several: ``[:, 0]``."""
    parts = index.elts if isinstance(index, ast.Tuple) else []
    return any(isinstance(one, ast.Constant | ast.UnaryOp) for one in parts)


def _adds_one(index: ast.expr) -> bool:
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    return any(isinstance(one, ast.Constant) and one.value is None for one in parts)


def _cuts_columns(index: ast.expr) -> bool:
    """Whether an index takes some columns: ``[:, 1:]``."""
    parts = index.elts[1:] if isinstance(index, ast.Tuple) else []
    return any(isinstance(one, ast.Slice) and (one.lower or one.upper) for one in parts)
