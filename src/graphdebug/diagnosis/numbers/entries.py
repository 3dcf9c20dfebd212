"""Entries: the line where data that are not finite were read or made, before any op that is recorded."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site
from graphdebug.model.finding import Candidate

__all__ = ["entered", "piped"]

_FITTING = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch")
_SLICING = ("from_tensor_slices", "from_tensors")
"""Calls that make a pipeline of arrays."""
_FURTHEST = 6
"""Assignments that data are followed back through."""
_MISSING = ("nan", "inf", "NaN", "Inf")


def entered(source: SourceText, site: Site | None) -> list[Candidate]:
    """Return where the data came from that the line at `site` takes: the line that wrote NaN into them, else
    the one that computed or read them.
    """
    value = _value_at(source, site) if site is not None else None
    return _followed(source, value, site) if site is not None and value is not None else []


def piped(source: SourceText, frames: Sequence[Site], index: int) -> list[Candidate]:
    """Return where the data came from that a pipeline gives.

    Args:
        source: the program.
        frames: user frames around the node that takes them, innermost first.
        index: which of the pipeline's arrays it is.

    """
    for site in frames:
        for call in _calls(source, site):
            name = _called(call)
            given = call.args if name in _FITTING else _elements(call.args[:1]) if name in _SLICING else []
            if given:
                return _followed(source, given[min(index, len(given) - 1)], site)
    return []


def _calls(source: SourceText, site: Site) -> Iterator[ast.Call]:
    """Yield the calls on a line, and those that gave the names which it reads their values."""
    tree = source.tree(site.file)
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Call)] if tree is not None else []
    yield from (one for one in found if one.lineno <= site.line <= (one.end_lineno or one.lineno))
    waiting, seen = list(source.names(site)), set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen or len(seen) > 50:
            continue
        seen.add(name)
        _, value = source.assigned(name, Site(site.file, 10**9) if not source.assignment(name, site) else site)
        for one in ast.walk(value) if value is not None else ():
            if isinstance(one, ast.Call):
                yield one
            elif isinstance(one, ast.Name):
                waiting.append(one.id)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _elements(values: Sequence[ast.expr]) -> Sequence[ast.expr]:
    first = next(iter(values), None)
    return first.elts if isinstance(first, ast.Tuple | ast.List) else values


def _value_at(source: SourceText, site: Site) -> ast.expr | None:
    """Return what the statement on a line assigns, or the line's own expression."""
    tree = source.tree(site.file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Assign | ast.Expr) and node.lineno <= site.line <= (node.end_lineno or 0):
            return node.value
    return None


def _followed(source: SourceText, value: ast.expr, site: Site) -> list[Candidate]:
    """Follow an expression back through slices and conversions to what computed or read it."""
    lines: list[Site] = []
    written: list[Site] = []
    for _ in range(_FURTHEST):
        name = _base(value)
        made, before = source.assigned(name, site) if name else (None, None)
        if made is None:
            break
        written += _writes(source, name, made)
        lines.append(made)
        site = made
        if before is None:
            before = _value_at(source, made)
        if before is None or _base(before) == name:
            break
        value = before
    return [
        *(Candidate(one, "mutation", "writes it into the data") for one in written),
        *(Candidate(one, "input", "where the data come from") for one in lines[::-1]),
    ]


def _base(value: ast.expr) -> str:
    """Return the name of what an expression only slices or converts; empty where it computes or reads."""
    if isinstance(value, ast.Name):
        return value.id
    if isinstance(value, ast.Subscript | ast.Starred):
        return _base(value.value)
    if isinstance(value, ast.Attribute):
        return _base(value.value)
    if isinstance(value, ast.Tuple | ast.List):
        names = {_base(one) for one in value.elts}
        return names.pop() if len(names) == 1 else ""
    if isinstance(value, ast.Call):
        converts = _called(value) in _CONVERTING
        method = isinstance(value.func, ast.Attribute) and converts and _base(value.func.value)
        if method and method not in ("np", "numpy", "tf", "torch", "keras", "jnp", "pd"):
            return method
        return _base(value.args[0]) if converts and value.args else ""
    return ""


_CONVERTING = (
    "array", "asarray", "astype", "tensor", "as_tensor", "from_numpy", "constant", "convert_to_tensor", "float",
    "copy", "reshape", "ravel", "flatten", "values", "to_numpy", "FloatTensor", "Tensor", "float32", "to",
    "cast", "transpose", "squeeze", "expand_dims", "unsqueeze", "batch", "shuffle", "repeat", "prefetch",
)  # fmt: skip
"""Calls that give the numbers on as they are."""


def _writes(source: SourceText, name: str, made: Site) -> list[Site]:
    """Return the lines that write NaN or Inf into parts of `name`, after the line that made it."""
    tree = source.tree(made.file)
    return [
        Site(file=made.file, line=node.lineno)
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Assign) and node.lineno > made.line
        and any(isinstance(one, ast.Subscript) and _base(one) == name for one in node.targets)
        and any(word in ast.unparse(node.value) for word in _MISSING)
    ]  # fmt: skip
