"""Entries: the line where data that are not finite were read or made, before any op that is recorded."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from graphdebug.diagnosis.source import SourceText
from graphdebug.diagnosis.trails import Place, base, steps, trail, value_at
from graphdebug.model.event import Site
from graphdebug.model.finding import Candidate

__all__ = ["entered", "followed", "piped"]

_FITTING = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch")
_SLICING = ("from_tensor_slices", "from_tensors")
"""Calls that make a pipeline of arrays."""
_FEW = 12
_WRITTEN = re.compile(r"\b(?:np|numpy|math)\.(?:nan|NaN|inf)\b")
_MISSING = ("nan", "inf", "NaN", "Inf")


def entered(source: SourceText, site: Site | None) -> list[Candidate]:
    """Return where the data came from that the line at `site` takes: the line that wrote NaN into them, else
    the one that computed or read them.
    """
    value = value_at(source, site) if site is not None else None
    return followed(source, value, site) if site is not None and value is not None else []


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
            sliced = _sliced(source, given[0], site) if given and name in _FITTING else None
            if sliced is not None:
                parts = _elements([sliced.value])
                part = replace(sliced, value=parts[min(index, len(parts) - 1)])
                return followed(source, part, sliced.site)
            if given:
                return followed(source, given[min(index, len(given) - 1)], site)
    return []


def _sliced(source: SourceText, value: ast.expr, site: Site) -> Place | None:
    """Return what a pipeline that a model is given was made of."""
    place = Place(value, site)
    for one in (place, *steps(source, place)):
        for call in ast.walk(one.value):
            if isinstance(call, ast.Call) and _called(call) in _SLICING and call.args:
                return replace(one, value=call.args[0])
    return None


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


def followed(source: SourceText, value: ast.expr | Place, site: Site) -> list[Candidate]:
    """Return the lines that wrote NaN into what `value`, at `site`, is, then those that gave it on, the first
    one first.
    """
    lines = trail(source, value, site)
    behind = _computed_of(source, value, site, len(lines))
    if any(_WRITTEN.search(source.line(one)) for one, _ in behind):  # else the arithmetic may have made it
        lines += behind
    written = [one for made, name in lines if name for one in _writes(source, name, made)]
    written += [one for one, _ in lines if _WRITTEN.search(source.line(one))]
    return [
        *(Candidate(one, "mutation", "writes it into the data") for one in dict.fromkeys(written)),
        *(Candidate(one, "input", "where the data come from") for one, _ in lines[::-1]),
    ]


def _computed_of(source: SourceText, value: ast.expr | Place, site: Site, known: int) -> list[tuple[Site, str]]:
    """Return the lines behind the one that computed the data with arithmetic, which passes NaN on."""
    place = value if isinstance(value, Place) else Place(value, site)
    last = [place, *steps(source, place)][-1]
    left = last.value
    while isinstance(left, ast.BinOp):
        left = left.left
    if left is last.value or not base(left) or known > _FEW:
        return []
    return trail(source, replace(last, value=left), last.site)


def _writes(source: SourceText, name: str, made: Site) -> list[Site]:
    """Return the lines that write NaN or Inf into parts of `name`, after the line that made it."""
    tree = source.tree(made.file)
    return [
        Site(file=made.file, line=node.lineno)
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Assign) and node.lineno > made.line
        and any(isinstance(one, ast.Subscript) and base(one) == name for one in node.targets)
        and any(word in ast.unparse(node.value) for word in _MISSING)
    ]  # fmt: skip
