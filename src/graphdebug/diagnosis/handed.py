"""Handed: the call that handed a layer its size, where nothing but that layer depends on it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.arguments import Arguments
from graphdebug.diagnosis.calls import argument, call_at, function_around
from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Declaration, Site

__all__ = ["handed"]

_PLACES = {
    "in_features": 0, "in_channels": 0, "num_features": 0, "input_size": 0, "embed_dim": 0, "num_embeddings": 0,
    "out_features": 1, "out_channels": 1, "hidden_size": 1, "embedding_dim": 1,
}  # fmt: skip
"""Where constructors of layers take the sizes that they declare."""


def handed(
    source: SourceText, arguments: Arguments, declared: Declaration, frames: Sequence[Site], size: int
) -> Site | None:
    """Return the outermost call that gave a parameter the value which became `size` of a declared layer.

    The parameter has no other use in its function: another value there changes that layer alone, so that the
    function is as it should be, and the call is not. None where the parameter is used elsewhere, too.
    """
    value = _given(source, declared, frames[-1], size)
    place = None
    for position in range(len(frames) - 1, 0, -1):
        tree = source.tree(frames[position].file)
        function = function_around(tree, frames[position].line) if tree is not None else None
        only = _only_here(function, value) if function is not None and value is not None else []
        if len(only) != 1:
            break
        value = arguments.passed(only[0], frames[position], frames[position - 1])
        if value is None:
            break
        place = Site(file=frames[position - 1].file, line=value.lineno)
    return place


def _given(source: SourceText, declared: Declaration, site: Site, size: int) -> ast.expr | None:
    """Return the argument that the layer has the size from, of the constructor's call."""
    tree = source.tree(site.file)
    call = call_at(tree, site, declared.type) if tree is not None else None
    words = [word for word in _PLACES if declared.attributes.get(word) == size]
    if not isinstance(call, ast.Call) or not words or any(isinstance(one, ast.Starred) for one in call.args):
        return None
    return argument(call, words[0], _PLACES[words[0]])


def _only_here(function: ast.FunctionDef | ast.AsyncFunctionDef, value: ast.expr) -> list[str]:
    """Return the parameters of `function` that `value` is, or adds up, and that nothing else in it reads.

    What is computed of a parameter in another way may as well be computed wrongly.
    """
    parameters = {
        one.arg for one in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    }
    here = {id(one) for one in ast.walk(value)}
    inside = [one.id for one in _addends(value) if isinstance(one, ast.Name) and one.id in parameters]
    read = (one for part in function.body for one in ast.walk(part) if isinstance(one, ast.Name))
    elsewhere = {one.id for one in read if id(one) not in here}
    return [name for name in dict.fromkeys(inside) if name not in elsewhere]


def _addends(value: ast.expr) -> list[ast.expr]:
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return [*_addends(value.left), *_addends(value.right)]
    return [value]
