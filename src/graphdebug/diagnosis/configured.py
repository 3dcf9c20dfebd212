"""Configured: a size that came out of a configuration, and the line of the user's that wrote it there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.calls import called, is_number
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site

__all__ = ["configured", "settings"]


def configured(source: SourceText, frames: Sequence[Site], size: int) -> Site | None:
    """Return the one line that set the field of a configuration which the innermost call reads to `size`.

    Two ways of writing are understood. The call reads a field (``config.hidden``, ``cfg["hidden"]``): what
    gives a field of that name this size is a keyword (``Config(hidden=64)``), a key (``{"hidden": 64}``), a
    class's field, an assignment to it, or the default of a command-line argument. Or the call takes a whole
    configuration (``Model(config)``): then it is the only argument of that size in the call that made it.
    A size that is written in more than one such place is left alone.

    Args:
        source: the user's files.
        frames: the frames around the call, outermost first.
        size: the size in question.

    """
    tree = source.tree(frames[-1].file) if frames else None
    if tree is None:
        return None
    fields = set(_fields_read(tree, frames[-1].line))
    files = dict.fromkeys(one.file for one in reversed(frames))
    found = [
        Site(file=file, line=value.lineno)
        for file in files
        for name, value in settings(source.tree(file))
        if name in fields and is_number(value, size)
    ]
    if not found:
        found = [*_made_whole(source, frames[-1], size)]
    return found[0] if len(found) == 1 else None


def _fields_read(tree: ast.Module, line: int) -> Iterator[str]:
    for node in ast.walk(tree):
        if getattr(node, "lineno", 0) != line:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)


def settings(tree: ast.Module | None) -> Iterator[tuple[str, ast.expr]]:
    """Yield the name and value of everything in a file that may be a field of a configuration."""
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call):
            yield from ((one.arg, one.value) for one in node.keywords if one.arg)
            yield from _command_line(node)
        elif isinstance(node, ast.Dict):
            yield from ((str(key.value), value) for key, value in zip(node.keys, node.values, strict=True)
                        if isinstance(key, ast.Constant))  # fmt: skip
        elif isinstance(node, ast.Assign):
            yield from ((name, node.value) for target in node.targets for name in _field_set(target))
        elif isinstance(node, ast.ClassDef):
            for one in node.body:
                if isinstance(one, ast.AnnAssign | ast.Assign) and one.value is not None:
                    targets = [one.target] if isinstance(one, ast.AnnAssign) else one.targets
                    yield from ((t.id, one.value) for t in targets if isinstance(t, ast.Name))


def _field_set(target: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Attribute):
        yield target.attr
    elif isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        yield str(target.slice.value)


def _command_line(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """Yield the name and default that ``parser.add_argument("--name", default=...)`` declares, or
    ``flags.DEFINE_float("name", ...)``.
    """
    if called(call).startswith("DEFINE_") and len(call.args) > 1 and isinstance(call.args[0], ast.Constant):
        yield str(call.args[0].value), call.args[1]
    first = call.args[0] if call.args and getattr(call.func, "attr", "") == "add_argument" else None
    for keyword in call.keywords if isinstance(first, ast.Constant) else ():
        if keyword.arg == "default" and isinstance(first, ast.Constant):
            yield str(first.value).lstrip("-").replace("-", "_"), keyword.value


def _made_whole(source: SourceText, site: Site, size: int) -> Iterator[Site]:
    """Yield the places in the calls that made the names used at `site` where `size` is given to a keyword."""
    for name in source.arguments(site):
        place, value = source.assigned(name, site)
        if place is not None and isinstance(value, ast.Call):
            yield from (
                Site(file=place.file, line=k.value.lineno) for k in value.keywords if is_number(k.value, size)
            )
