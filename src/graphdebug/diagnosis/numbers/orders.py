"""Orders: arrays that the program puts into a random order before they are tensors, without their labels."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.calls import called, function_around, names_used
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.scopes import own_statements
from graphdebug.model.event import Site
from graphdebug.model.finding import Candidate

__all__ = ["shuffled_alone"]

_DRAWN = ("permutation", "randperm")
_LABELS = re.compile(r"(?:.*_)?(?:y|ys|labels?|targets?|classes|tags)(?:_.*)?", re.IGNORECASE)
"""What programs call the labels of their data."""
_TIMES = 3
"""Assignments that names are followed back through."""
Scope = ast.Module | ast.FunctionDef


def shuffled_alone(evidence: Evidence, site: Site) -> list[Candidate]:
    """Return the line that puts the inputs into a random order, where nothing does so with their labels.

    The order has a name that is read there alone, and the labels go on together with the inputs: they are
    returned, sliced or handed over side by side.

    Args:
        evidence: the program's source is asked.
        site: the line that made a tensor of the labels; what gave it its arrays is searched.

    """
    tree = evidence.source.tree(site.file)
    for scope in _behind(tree, site.line) if tree is not None else ():
        for name in _orders(scope):
            uses = [one for one in own_statements(scope) if isinstance(one, ast.Name) and one.id == name]
            read = [one for one in uses if isinstance(one.ctx, ast.Load)]
            put = [one for one in own_statements(scope) if isinstance(one, ast.Assign) and _reorders(one, name)]
            if len(read) != 1 or len(put) != 1 or not isinstance(put[0].targets[0], ast.Name):
                continue
            labels = _beside(scope, put[0].targets[0].id, put[0].lineno)
            if labels:
                why = f"puts {put[0].targets[0].id} into a random order, and {labels} not"
                return [Candidate(Site(file=site.file, line=put[0].lineno), "origin", why)]
    return []


def _behind(tree: ast.Module, line: int) -> Sequence[Scope]:
    """Return the function around `line`, or the module, and the functions that gave the names there."""
    around = function_around(tree, line)
    here: Scope = around if isinstance(around, ast.FunctionDef) else tree
    names = set(names_used(tree, line))
    functions: set[str] = set()
    for _ in range(_TIMES):
        for node in own_statements(here):
            if isinstance(node, ast.Assign) and names & _names(node.targets):
                names |= _names([node.value])
                functions |= {called(one) for one in ast.walk(node.value) if isinstance(one, ast.Call)}
    found = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name in functions]
    return [here, *found]


def _names(values: Sequence[ast.expr]) -> set[str]:
    return {one.id for value in values for one in ast.walk(value) if isinstance(one, ast.Name)}


def _orders(scope: Scope) -> Iterator[str]:
    """Yield the names that are given a random order of all rows."""
    for node in own_statements(scope):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and len(node.targets) == 1:
            called, target = node.value.func, node.targets[0]
            word = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if word in _DRAWN and isinstance(target, ast.Name):
                yield target.id


def _reorders(one: ast.Assign, order: str) -> bool:
    """Whether a statement is ``x = x[order]``."""
    value, target = one.value, one.targets[0]
    return (
        isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Name) and value.slice.id == order
        and isinstance(target, ast.Name) and isinstance(value.value, ast.Name) and value.value.id == target.id
    )  # fmt: skip


def _beside(scope: Scope, inputs: str, line: int) -> str:
    """Return the labels that stand beside the inputs in a tuple or call after `line`."""
    for node in own_statements(scope):
        several = node.elts if isinstance(node, ast.Tuple) else node.args if isinstance(node, ast.Call) else []
        if not several or getattr(node, "lineno", 0) <= line:
            continue
        names = [_base(one) for one in several]
        labels = [one for one in names if one and one != inputs and _LABELS.fullmatch(one)]
        if inputs in names and labels:
            return labels[0]
    return ""


def _base(value: ast.expr) -> str:
    """Return the name of what an expression slices or converts."""
    parts: Sequence[ast.expr] = [value]
    while parts and isinstance(parts[0], ast.Subscript | ast.Call):
        one = parts[0]
        parts = [one.value] if isinstance(one, ast.Subscript) else one.args[:1]
    return parts[0].id if parts and isinstance(parts[0], ast.Name) else ""
