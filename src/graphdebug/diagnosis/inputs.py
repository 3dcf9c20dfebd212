"""Inputs: the expression by which a program gave data to a network: fed, trained on, or declared by shape."""

from __future__ import annotations

import ast

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.scopes import covers
from graphdebug.diagnosis.shapers import shaper
from graphdebug.diagnosis.trails import Place, steps
from graphdebug.model.event import Failure, Operand, Shape, Site, TensorFact
from graphdebug.model.finding import Candidate

__all__ = ["given", "shaped"]


def given(evidence: Evidence, failure: Failure, root: Operand) -> Place | None:
    """Return what the program wrote for the data that `root`, the start of a way, came from."""
    declared = evidence.provenance.declared(root.name) if root.name else None
    run = failure.run_site or (failure.frames[-1] if failure.frames else failure.site)
    if declared is not None and declared.site is not None:
        name = evidence.provenance.given_name(declared)
        fed = feeds.fed_value(evidence.source, run, declared.site, name) if run is not None else None
        return fed or _of_shape(evidence, declared.site)
    made = evidence.provenance.site(root)
    if made is not None or run is None:
        return None
    value = evidence.provenance.arguments.given(run, Operand(TensorFact(None, ""), role="input"))
    return Place(value, run) if value is not None else None


def shaped(evidence: Evidence, failure: Failure, root: Operand, wanted: Shape) -> list[Candidate]:
    """Return the line of plain Python that gave the data at the start of a way their shape, where `wanted` was
    due; nothing where no line says that it did.
    """
    place, came = given(evidence, failure, root), root.fact.shape
    found = shaper(evidence.source, place, wanted, came) if place is not None and came is not None else None
    if found is None or not found[1]:
        return []
    return [Candidate(found[0], "input", "gives the data this shape")]


def _of_shape(evidence: Evidence, site: Site) -> Place | None:
    """Return the array whose shape the declaration at `site` was given."""
    tree = evidence.source.tree(site.file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and covers(node, site.line):
            for one in ast.walk(node):
                owner = _owner(evidence, one, site)
                if owner is not None:
                    return owner
    return None


def _owner(evidence: Evidence, value: ast.AST, site: Site) -> Place | None:
    """Return what an expression is the shape of, also by a name of that shape."""
    if isinstance(value, ast.Attribute) and value.attr == "shape":
        return Place(value.value, site)
    if not isinstance(value, ast.Name):
        return None
    for before in steps(evidence.source, Place(value, site)):
        for one in ast.walk(before.value):
            if isinstance(one, ast.Attribute) and one.attr == "shape":
                return Place(one.value, before.site, before.calls)
    return None
