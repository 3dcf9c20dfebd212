"""Written: the line on which the program wrote down the size that a declaration or a reshape was given.

What other lines read, too, is as they need it: then the line is in question that took it for this use.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from graphdebug.diagnosis.origins import chain, elements, numbers, placed
from graphdebug.diagnosis.scopes import covers, reads, scopes_around
from graphdebug.diagnosis.source import SourceText
from graphdebug.diagnosis.trails import Place
from graphdebug.model.event import Site

__all__ = ["Written", "followed", "written"]


@dataclass(frozen=True, slots=True)
class Written:
    """Where a size was written."""

    site: Site
    passed: bool
    """Whether a call, a table or a settings object gave it on; else names at most, of one scope."""
    first: Site
    """The line that wrote it down; another one than `site` where others read it, too, what stands there."""


def written(
    source: SourceText,
    frames: Sequence[Site],
    size: int,
    axis: int | None = None,
    rank: int | None = None,
    beside: Collection[int] = (),
) -> Written | None:
    """Return where the `size` that the innermost line gives something was written, if that is one place.

    Args:
        source: the program.
        frames: the lines that led there, outermost first.
        size: the size in question.
        axis: the axis that has it, where the line gives a shape.
        rank: of how many axes the shape is.
        beside: lines that may read the same, and say nothing for it.

    """
    found: dict[tuple[str, int], Written] = {}
    for place in _asked(source, frames, size, axis, rank):
        made = followed(source, place, size, beside)
        found[made.site.file, made.site.line] = made
    return next(iter(found.values())) if len(found) == 1 else None


def followed(source: SourceText, place: Place, size: int, beside: Collection[int] = ()) -> Written:
    """Return where the `size` that the value at `place` is was written; `beside` as for `written`."""
    way = [place, *chain(source, place, lambda one: size in numbers(source, one))]
    lines = {one.line.line for one in way} | {*beside}
    shared = (at for at, one in enumerate(way[:-1]) if _read_elsewhere(source, one, way[at + 1], lines))
    end = next(shared, len(way) - 1)
    passed = any(not _plain(source, *pair) for pair in pairwise(way[: end + 1]))
    return Written(way[end].line, passed, way[-1].line)


def _asked(
    source: SourceText, frames: Sequence[Site], size: int, axis: int | None, rank: int | None
) -> Iterator[Place]:
    """Yield what the innermost line may have the size from: the part of the shape that it gives, else what it
    gives its calls.
    """
    given = [placed(source, one, frames) for one in _arguments(source, frames[-1])]
    shapes = [parts for one in given for parts in elements(source, one) if len(parts) == rank]
    if axis is not None and shapes:
        given = [parts[axis] for parts in shapes]
    yield from (one for one in given if size in numbers(source, one))


def _arguments(source: SourceText, site: Site) -> Iterator[ast.expr]:
    """Yield what the calls on a line are given, the outer ones first."""
    tree = source.tree(site.file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and covers(node, site.line):
            yield from (one for one in node.args if covers(one, site.line))
            yield from (one.value for one in node.keywords if covers(one.value, site.line))


def _read_elsewhere(source: SourceText, place: Place, before: Place, lines: set[int]) -> bool:
    """Whether others than the `lines` in question read what the value at `place` is read from."""
    value, tree = place.value, source.tree(before.site.file)
    if tree is None:
        return False
    if isinstance(value, ast.Name) and _plain(source, place, before):
        read = (one.lineno for one in reads(scopes_around(tree, before.site.line)[0], value.id))
        return any(one not in lines for one in read)
    if isinstance(value, ast.Attribute):
        return any(
            isinstance(one, ast.Attribute) and one.attr == value.attr and isinstance(one.ctx, ast.Load)
            and one.lineno not in lines for one in ast.walk(tree)
        )  # fmt: skip
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        return any(
            isinstance(one, ast.Subscript) and ast.unparse(one) == ast.unparse(value)
            and isinstance(one.ctx, ast.Load) and one.lineno not in lines for one in ast.walk(tree)
        )  # fmt: skip
    return False


def _plain(source: SourceText, place: Place, before: Place) -> bool:
    """Whether a name was only assigned, in its own scope or the file's."""
    value = place.value
    made = source.assignment(value.id, place.site) if isinstance(value, ast.Name) else None
    return made is not None and made.line == before.site.line
