"""Graphs: calls that mixed two graphs, and which of the parts stands in the wrong one."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from graphdebug.diagnosis.account import call
from graphdebug.diagnosis.calls import called
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.words import place, telling
from graphdebug.model.event import Failure, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain_mixed", "session_line"]

_FEW = 2
"""How many times as many nodes make a graph the program's own, and the other one the odd one."""
Part = Mapping[str, Any]


def explain_mixed(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a node, a session or a feed of another graph than what it was used with.

    The odd part is the one whose graph has the fewest nodes by far; else the one that was made in another
    ``with`` block than the failing line stands in.
    """
    parts: Sequence[Part] = failure.detail.get("parts") or ()
    odd = _odd(evidence, failure, parts)
    left = _left_behind(evidence, parts)
    named = _lines(evidence, failure, odd) if odd is not None else []
    rest = [line for one in parts if one is not odd for line in _lines(evidence, failure, one)]
    body = [f"  {_words(one)}" for one in parts] or [f"  {line}" for line in telling(failure.message, 1)]
    body += ["  the default graph was put away between them"] if left else []
    name = odd["name"] or "it" if odd is not None else "it"
    if left:
        tries = "reset the default graph before anything is built, or not at all"
    elif named and odd is not None and odd["role"] != "session":
        tries = f"make {name} within the other graph: with graph.as_default()"
    elif named:
        tries = "Session(graph=graph) of the graph that was built"
    else:
        tries = "build and run within one graph: with graph.as_default()"
    return evidence.finding(
        failure.category, what="a node of another graph was used",
        candidates=[*left, *named, *call(failure), *(rest if named else [])],
        confidence=0.85 if named or left else 0.7,
        failed=failure.site, when=when(failure), body=body, tries=[tries],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _odd(evidence: Evidence, failure: Failure, parts: Sequence[Part]) -> Part | None:
    """Return the part that stands in the wrong graph; None if it can't be told."""
    sizes = {one["graph"]: one["nodes"] for one in parts}
    few = min(sizes, key=lambda graph: sizes[graph], default=None)
    if few is None or len(sizes) != 2:
        return None
    many = max(sizes.values())
    if sizes[few] * _FEW <= many:
        return next(one for one in parts if one["graph"] == few)
    here = evidence.source.block(failure.site) if failure.site is not None else None
    elsewhere = [one for one in parts if one["sites"] and evidence.source.block(_site(one)) != here]
    return elsewhere[0] if len({one["graph"] for one in elsewhere}) == 1 else None


def _left_behind(evidence: Evidence, parts: Sequence[Part]) -> list[Candidate]:
    """Return the line that put the default graph away after a part was made in it, if there is only one."""
    made = [_site(one) for one in parts if one["sites"]]
    resets = [
        Site(file=file, line=node.lineno)
        for file in dict.fromkeys(one.file for one in made)
        for node in ast.walk(evidence.source.tree(file) or ast.Module([], []))
        if isinstance(node, ast.Call) and called(node) == "reset_default_graph"
    ]  # fmt: skip
    if len(resets) != 1 or any(evidence.source.within(one, ("as_default",)) is not None for one in made):
        return []
    inside = evidence.source.function_line(resets[0]) is not None
    after = any(one.file == resets[0].file and one.line < resets[0].line for one in made)
    return [Candidate(resets[0], "caller", "puts the graph away")] if inside or after else []


def _site(part: Part) -> Site:
    return Site(**part["sites"][0])


def _lines(evidence: Evidence, failure: Failure, part: Part) -> list[Candidate]:
    if part["role"] == "session":
        made = session_line(evidence, failure.site)
        return [Candidate(made, "declaration", "makes the session, of another graph")] if made else []
    if not part["sites"]:
        return []
    return [Candidate(_site(part), "origin", f"makes {part['name']}", part["name"])]


def session_line(evidence: Evidence, site: Site | None) -> Site | None:
    """Return the line that made the session whose method is called on the line at `site`."""
    tree = evidence.source.tree(site.file) if site is not None else None
    for node in ast.walk(tree) if tree is not None else ():
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or site is None:
            continue
        here = node.lineno <= site.line <= (node.end_lineno or node.lineno)
        if here and node.func.attr in ("run", "partial_run"):
            return evidence.source.assignment(ast.unparse(node.func.value), site)
    return None


def _words(part: Part) -> str:
    words = "the session" if part["role"] == "session" else part["name"] or part["role"]
    made = f", made at {place(_site(part))}" if part["sites"] else ""
    nodes = f"{part['nodes']} node{'s' * (part['nodes'] != 1)}" if part["nodes"] else "no node"
    return f"{words}{made}: in a graph of {nodes}"
