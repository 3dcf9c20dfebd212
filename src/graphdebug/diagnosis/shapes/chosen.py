"""Chosen: the line that gave an argument of a layer's constructor its value, through names and tables."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.account import sized_by
from graphdebug.diagnosis.calls import argument, call_at
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.tables import entry_of
from graphdebug.model.event import Declaration, Site
from graphdebug.model.finding import Candidate

__all__ = ["chosen"]

_NAMES = {
    "stride": (("strides", "stride"), None), "padding": (("padding",), None),
    "kernel": (("kernel_size", "pool_size"), None), "factor": (("size", "scale_factor"), 0),
    "rows": (("padding", "cropping"), 0), "size": (("target_shape", "n"), 0),
}  # fmt: skip
"""How constructors call what nodes call so, and where they take it."""


def chosen(evidence: Evidence, declared: Declaration, word: str, why: str) -> list[Candidate]:
    """Return the line that set an argument of `declared`, then the layer's own and those that called for it."""
    assert declared.site is not None
    own = [Candidate(declared.site, "declaration", why, declared.name)]
    frames = [*reversed(declared.callers), declared.site]
    if declared.site in declared.callers:
        frames = [*reversed(declared.callers[declared.callers.index(declared.site) :])]
    tree = evidence.source.tree(declared.site.file)
    call = call_at(tree, declared.site, declared.type) if tree is not None else None
    names, place = _NAMES.get(word, ((word,), None))
    given = None
    if isinstance(call, ast.Call):
        given = next((one for name in names if (one := argument(call, name, place)) is not None), None)
    if isinstance(given, ast.Tuple | ast.List):  # one of several sizes, by its name
        named = {ast.unparse(one): one for one in given.elts if isinstance(one, ast.Name | ast.Attribute)}
        given = next(iter(named.values())) if len(named) == 1 else given
    if given is None:
        return own
    site = _set_at(evidence, given, frames, declared)
    if site is None or (site.file, site.line) == (declared.site.file, declared.site.line):
        return own
    return [Candidate(site, "declaration", why, declared.name), *own]


def _set_at(evidence: Evidence, value: ast.expr, frames: Sequence[Site], declared: Declaration) -> Site | None:
    """Return the line that wrote the value down."""
    site = frames[-1]
    alike = [
        one for one in evidence.provenance.declarations()
        if one.type == declared.type and one.site == declared.site and one.callers == declared.callers
    ]  # fmt: skip
    index = next((place for place, one in enumerate(alike) if one.name == declared.name), 0)
    listed = entry_of(evidence.source, value, frames, index, len(alike))
    if listed is not None:
        return listed
    settled = evidence.provenance.arguments.settled(value, frames)
    if settled is not None and settled[0].line != site.line:
        return settled[0]
    size = value.value if isinstance(value, ast.Constant) and isinstance(value.value, int) else None
    lines = sized_by(evidence, declared, size, "") if size is not None else []
    return lines[0].site if lines else None
