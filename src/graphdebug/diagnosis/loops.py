"""Loops: the loops of the user's source, the loaders that they go over and the names that they give a value."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from graphdebug.diagnosis.calls import called
from graphdebug.diagnosis.scopes import covers, own_statements, scopes_around
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site

__all__ = ["around", "loader", "loader_around", "rebound", "rebound_within", "trains"]

_TRAINING = ("backward", "step", "update", "minimize", "gradient", "optimi")
"""Parts of the names of calls that train."""


def loader(source: SourceText, site: Site | None) -> Site | None:
    """Return the line that made the loader which the loop at `site` goes over."""
    tree = source.tree(site.file) if site is not None else None
    for node in ast.walk(tree) if tree is not None else ():
        if site is None or not isinstance(node, ast.For | ast.comprehension):
            continue
        if node.iter.lineno != site.line:
            continue
        for call in ast.walk(node.iter):
            if isinstance(call, ast.Call) and _makes_batches(call):
                return Site(file=site.file, line=call.lineno)
        for name in ast.walk(node.iter):
            made, value = source.assigned(name.id, site) if isinstance(name, ast.Name) else (None, None)
            if isinstance(value, ast.Call) and _makes_batches(value):
                return made
    return None


def loader_around(source: SourceText, site: Site) -> Site | None:
    """Return the line that made the loader of the innermost loop around `site`."""
    tree = source.tree(site.file)
    loops = [
        node for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.For) and covers(node, site.line)
    ]  # fmt: skip
    for loop in sorted(loops, key=lambda node: -node.lineno):
        found = loader(source, Site(file=site.file, line=loop.iter.lineno))
        if found is not None:
            return found
    return None


def rebound(source: SourceText, names: Iterable[str], site: Site) -> Site | None:
    """Return the line that puts what was computed of one of `names` in its place: within a loop around `site`
    and below it; else where a value is computed of itself, best under the same name, also if it is an attribute
    or an element by another owner's name.
    """
    tree, wanted = source.tree(site.file), set(names)
    loops = [
        node for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.For | ast.While) and covers(node, site.line)
    ]  # fmt: skip
    lines = [
        node.lineno for loop in loops for node in ast.walk(loop)
        if isinstance(node, ast.Assign) and node.lineno > site.line
        and any(isinstance(one, ast.Name) and one.id in wanted for one in node.targets)
    ]  # fmt: skip
    own = [(target, node.lineno) for target, node in _of_themselves(tree)] if tree is not None else []
    lines += [line for target, line in own if ast.unparse(target) in wanted and line != site.line]
    if not lines:
        known = {name.rpartition(".")[2] for name in wanted}
        lines = [line for target, line in own if _last_name(target) in known and line != site.line]
    below = [line for line in lines if line > site.line]
    return Site(file=site.file, line=min(below or lines)) if lines else None


def _of_themselves(tree: ast.Module) -> Iterator[tuple[ast.expr, ast.stmt]]:
    """Yield what is given a value that is computed of its own, ``w = w - step`` or ``w -= step``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign):
            yield node.target, node
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.value, ast.BinOp):
            own = ast.unparse(node.targets[0])
            if any(
                ast.unparse(one) == own
                for one in ast.walk(node.value)
                if isinstance(one, type(node.targets[0]))
            ):
                yield node.targets[0], node


def _last_name(target: ast.expr) -> str:
    """Return the name of an attribute, or of what an element is of."""
    while isinstance(target, ast.Subscript):
        target = target.value
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")


def rebound_within(source: SourceText, name: str, site: Site) -> Site | None:
    """Return the last line in the loop at `site` that gives `name` a value."""
    tree = source.tree(site.file)
    lines = [
        part.lineno for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.For | ast.While) and node.lineno == site.line
        for part in ast.walk(node)
        if isinstance(part, ast.Assign | ast.AugAssign)
        for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
        if any(isinstance(one, ast.Name) and one.id == name for one in ast.walk(target))
    ]  # fmt: skip
    return Site(file=site.file, line=max(lines)) if lines else None


def around(source: SourceText, site: Site) -> bool:
    """Whether a loop is around the line at `site`, in its function."""
    tree = source.tree(site.file)
    own = own_statements(scopes_around(tree, site.line)[0]) if tree is not None else ()
    return any(isinstance(one, ast.For | ast.While) and covers(one, site.line) for one in own)


def trains(source: SourceText, site: Site) -> bool:
    """Whether training goes on behind the line at `site`, in the innermost loop around it or its function."""
    tree = source.tree(site.file)
    if tree is None:
        return False
    own = list(own_statements(scopes_around(tree, site.line)[0]))
    around = [one for one in own if isinstance(one, ast.For | ast.While) and covers(one, site.line)]
    loop = max(around, key=lambda one: one.lineno, default=None)
    calls = (one for one in (ast.walk(loop) if loop is not None else own) if isinstance(one, ast.Call))
    return any(
        one.lineno >= site.line and any(word in called(one).lower() for word in _TRAINING) for one in calls
    )


def _makes_batches(call: ast.Call) -> bool:
    return any(one.arg == "batch_size" for one in call.keywords) or "Loader" in ast.unparse(call.func)
