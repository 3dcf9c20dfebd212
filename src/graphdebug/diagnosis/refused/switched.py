"""Switched off: the line by which the user's code told a framework to keep no graph for gradients."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.source import SourceText
from graphdebug.model.event import Site

__all__ = ["switched_off"]


def switched_off(source: SourceText, frames: Sequence[Site]) -> list[Site]:
    """Return the line by which the frames' code is told to keep no graph: around them, or once for all
    weights; the latter only if there is one such line.
    """
    for frame in frames:
        around = source.within(frame, ("no_grad", "inference_mode"))
        if around is not None:
            return [around]
    found = [
        Site(file=file, line=node.lineno)
        for file in dict.fromkeys(one.file for one in frames)
        for node in ast.walk(source.tree(file) or ast.Module([], []))
        if isinstance(node, ast.Assign | ast.Expr) and _takes_gradients_off(node)
    ]
    return found if len(found) == 1 else []


def _takes_gradients_off(node: ast.Assign | ast.Expr) -> bool:
    """Whether a statement sets ``requires_grad`` to False."""
    if isinstance(node, ast.Assign):
        word = node.targets[0].attr if isinstance(node.targets[0], ast.Attribute) else ""
        return word == "requires_grad" and isinstance(node.value, ast.Constant) and node.value.value is False
    call = node.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or len(call.args) != 1:
        return False
    given = call.args[0]
    return call.func.attr == "requires_grad_" and isinstance(given, ast.Constant) and given.value is False
