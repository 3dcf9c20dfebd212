"""Unrun: what a static graph holds for training and no run ever asked for, and what each run adds to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.words import listing, place
from graphdebug.model.event import Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["unrun"]

_LEAST_STEPS = 3
"""Steps of training in which something must be left out."""
_UNTRAINED_STEPS = 5
"""Steps that compute a loss, of a program that trains nothing."""
_SEARCHED = 60
"""Steps at the start of a run that are looked at."""
Part = Mapping[str, Any]


def unrun(evidence: Evidence) -> Iterator[Finding]:
    """Yield what is wrong with the parts of static graphs that never ran."""
    for notice in evidence.run.notices:
        if notice.topic == "growing_graph" and notice.site is not None:
            yield _growing(evidence, notice.seq, notice.site, notice.detail)
        elif notice.topic == "never_run":
            yield from _left_out(evidence, notice.seq, notice.detail)


def _left_out(evidence: Evidence, seq: int, detail: Part) -> Iterator[Finding]:
    step = _training_step(evidence)
    if step is not None:
        parts = [*_assigns(evidence, detail.get("assigns", ()))]
        if parts:
            yield _not_updated(evidence, seq, step, parts)
        for part in detail.get("counters", ()):
            yield _not_counted(evidence, seq, step, part)
    for part in detail.get("optimizers", ()):
        yield from _never_trained(evidence, seq, part)


def _training_step(evidence: Evidence) -> Node | None:
    """Return the node of an optimizer in the third step that trains; None if there are fewer."""
    found = 0
    for step in evidence.steps[:_SEARCHED]:
        update = next((one for one in evidence.run.step(step).nodes if one.phase == "optimizer"), None)
        found += update is not None
        if found == _LEAST_STEPS:
            return update
    return None


def _assigns(evidence: Evidence, parts: Sequence[Part]) -> Iterator[Part]:
    """Yield the writes that were meant to run: those collected for each step, and those whose result nothing
    in the source takes up. One that a branch of the program did not come to is left alone.
    """
    for part in parts:
        sites = [Site(**one) for one in part["sites"]]
        if part["collected"] or _dropped(evidence, sites):
            yield part


def _dropped(evidence: Evidence, sites: Sequence[Site]) -> bool:
    """Whether the statement that made a node, or called the function that did, gives its result to nothing, or
    to a name that is never read.
    """
    for site in sites:
        tree = evidence.source.tree(site.file)
        made = _statement(tree, site.line) if tree is not None else None
        if isinstance(made, ast.Return):
            continue
        if isinstance(made, ast.Expr) and isinstance(made.value, ast.Call):
            called = ast.unparse(made.value.func).rpartition(".")[2]
            return not called.startswith(("append", "extend", "add", "insert", "run"))
        target = evidence.source.target(site)
        return tree is not None and bool(target) and not _read(tree, target, site.line)
    return False


def _statement(tree: ast.Module, line: int) -> ast.stmt | None:
    """Return the innermost statement around `line`."""
    found = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]  # fmt: skip
    return max(found, key=lambda node: (node.lineno, -(node.end_lineno or 0)), default=None)


def _read(tree: ast.Module, name: str, line: int) -> bool:
    """Whether the function around `line`, or the file where there is none, reads `name`; an attribute of that
    name may be read anywhere.
    """
    owner, _, last = name.rpartition(".")
    functions = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]  # fmt: skip
    outermost = min(functions, key=lambda node: node.lineno) if functions and not owner else tree
    return any(
        isinstance(getattr(node, "ctx", None), ast.Load)
        and getattr(node, "attr" if owner else "id", "") == last
        for node in ast.walk(outermost)
    )


def _not_updated(evidence: Evidence, seq: int, step: Node, parts: Sequence[Part]) -> Finding:
    names = listing([one["variable"] for one in parts[:4]])
    collected = any(one["collected"] for one in parts)
    made = _lines("makes an update that no run asks for", parts[0])
    trains = [Candidate(one, "step", "a step does not run the updates") for one in (step.site,) if one]
    run = [Candidate(step.run_site, "caller", "runs the steps")] if step.run_site is not None else []
    unnamed = not collected and not evidence.source.target(Site(**parts[0]["sites"][0]))
    lines = [*trains, *made, *run] if collected else [*made, *run] if unnamed else [*run, *made]
    tries = ["with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)): around minimize",
             "fetch the updates in each step"]  # fmt: skip
    return evidence.finding(
        "never_updated", what=f"{names} {'are' if len(parts) > 1 else 'is'} read and never updated",
        candidates=lines, confidence=0.7, when="nothing failed",
        body=[f"  {one['variable']}: its update {one['op']}, {place(Site(**one['sites'][0]))}, never ran"
              for one in parts[:4]],
        tries=tries if collected else tries[1:], evidence=(seq,),
    )  # fmt: skip


def _not_counted(evidence: Evidence, seq: int, step: Node, part: Part) -> Finding:
    lines = [Candidate(step.site, "step", "a step does not count it")] if step.site is not None else []
    return evidence.finding(
        "never_updated", what=f"{part['variable']} counts no steps, and the optimizer's settings depend on it",
        candidates=[*lines, *_lines("declares it", part)], confidence=0.7, when="nothing failed",
        body=["  no node of the graph changes it: what is computed from it stays as it was at the start"],
        tries=["minimize(loss, global_step=...) counts it"], evidence=(seq,),
    )  # fmt: skip


def _never_trained(evidence: Evidence, seq: int, part: Part) -> Iterator[Finding]:
    if not _dropped(evidence, [Site(**one) for one in part["sites"]]):
        return
    sites: dict[Site, int] = {}
    for step in evidence.steps[:_SEARCHED]:
        nodes = evidence.run.step(step).nodes
        site = next((one.run_site for one in nodes if one.family in ("linear", "matmul", "conv")), None)
        if site is not None:
            sites[site] = sites.get(site, 0) + 1
    site = max(sites, key=lambda one: sites[one], default=None)
    if site is None or sites[site] < _UNTRAINED_STEPS:
        return
    yield evidence.finding(
        "never_trained", what="an optimizer's step was built, and no run asked for it",
        candidates=[Candidate(site, "caller", "runs no step of it"), *_lines("builds the step", part)],
        confidence=0.7, when="nothing failed",
        body=[f"  {sites[site]} runs computed with weights that only an initializer had set"],
        tries=["fetch the train op, too"], evidence=(seq,),
    )  # fmt: skip


def _growing(evidence: Evidence, seq: int, site: Site, detail: Part) -> Finding:
    lines = [Candidate(Site(**one), "caller", "makes new nodes again and again") for one in detail["sites"]]
    begins = bool(lines) and "initializ" in evidence.source.line(lines[0].site)
    forgets = (
        ["  it also gives every variable its first value again: what was learnt before is lost"]
        if begins
        else []
    )
    return evidence.finding(
        "growing_graph", what="each run adds new nodes to the graph",
        candidates=lines, confidence=0.7, failed=site, when="nothing failed",
        body=[f"  {detail['runs']} runs had nodes that were made since the run before ({detail['op']} ...)",
              *forgets, "  each takes memory and a new plan: steps become slower and slower"],
        tries=["run the initializer once, before the loop"] if begins else
              ["build every node before the loop, and feed what changes"], evidence=(seq,),
    )  # fmt: skip


def _lines(why: str, part: Part) -> list[Candidate]:
    return [Candidate(Site(**one), "declaration", why, part.get("variable", "")) for one in part["sites"]]
