"""Unstepped: backward gives gradients again and again, and the weights stay as they are: no optimizer is asked
for a step, or what was computed to be their new values goes nowhere.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import Track, optimizers, some
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Node, Notice, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["unstepped"]

_LEAST_PASSES = 5
"""Backward passes in which nothing must have changed: fewer may be a look at gradients."""
_SEARCHED = 5000
"""Nodes among which an update by hand is looked for."""


def unstepped(evidence: Evidence, tracks: Mapping[str, Track]) -> Sequence[Finding]:
    """Return the finding for an optimizer that never stepped, and no other did, while parameters got gradients
    and stayed as they were: no op wrote into them.

    Where another one stepped, this one may be for a later part of the training.
    """
    left = [name for name, one in tracks.items() if one.steps >= _LEAST_PASSES and not one.changed]
    if optimizers(evidence) or not left:
        return []
    notice = next((one for one in evidence.run.notices if one.topic == "never_stepped"), None)
    if notice is None or notice.site is None:
        return _discarded(evidence, tracks, left) if len(left) == len(tracks) else []
    backward = _backward(evidence, tracks[left[0]]) if left else None
    line = (backward.run_site or backward.site) if backward is not None else None
    if backward is None or line is None or _written_otherwise(evidence, line):
        return []
    asked = list(_asked(evidence, notice, line))
    passes = max(tracks[name].steps for name in left)
    told = (
        f"  {asked[0].why}, {place(asked[0].site)}" if asked else "  nothing in the program asks it for a step"
    )
    return [
        evidence.finding(
            "never_trained", what="no optimizer ever made a step: the weights stay as they are",
            candidates=[*asked, Candidate(line, "caller", "no step follows backward"),
                        Candidate(notice.site, "declaration", "makes the optimizer")],
            confidence=0.85, when=f"{passes} backward passes; nothing failed",
            body=[f"  {some(left)}: gradients in {passes} passes, and no op changed them",
                  f"  the {notice.detail.get('optimizer')} was made at {place(notice.site)}", told],
            tries=["call optimizer.step() after backward"], evidence=(notice.seq, backward.seq),
        )
    ]  # fmt: skip


def _discarded(evidence: Evidence, tracks: Mapping[str, Track], left: Sequence[str]) -> Sequence[Finding]:
    """Return the finding for an update by hand that only gives its result a name: a parameter less a multiple
    of its gradient, which no op takes up.
    """
    nodes = evidence.run.step(tracks[left[0]].first.step).nodes[:_SEARCHED]
    taken = {one.producer for node in nodes for one in node.inputs}
    made = [
        node for node in nodes
        if node.phase == "forward" and node.function in ("sub", "add") and node.seq not in taken
        and any(one.name in left for one in node.inputs) and _of_gradients(evidence, node)
    ]  # fmt: skip
    if len({one.inputs[0].name for one in made}) < len(left) or made[0].site is None:
        return []
    tree = evidence.source.tree(made[0].site.file)
    named = any(
        isinstance(one, ast.Assign) and one.lineno == made[0].site.line
        and all(isinstance(target, ast.Name) for target in one.targets)
        for one in (ast.walk(tree) if tree is not None else ())
    )  # fmt: skip
    if not named or _written_otherwise(evidence, made[0].site):
        return []
    return [
        evidence.finding(
            "never_trained", what="what is computed to be the new weights goes nowhere",
            candidates=[Candidate(made[0].site, "expression", "only gives a new tensor the name")],
            confidence=0.85, when=f"{tracks[left[0]].steps} backward passes; nothing failed",
            body=[f"  {some(left)}: gradients in {tracks[left[0]].steps} passes, and no op changed them"],
            tries=["change the parameter in place: p -= lr * p.grad (under no_grad)", "use an optimizer"],
            evidence=(made[0].seq,),
        )
    ]  # fmt: skip


def _of_gradients(evidence: Evidence, node: Node) -> bool:
    """Whether one side of a sum is a gradient, or a multiple of one."""
    for one in node.inputs:
        before = evidence.provenance.node(one.producer)
        if (
            before is not None
            and before.function in ("mul", "div")
            and before.phase == "forward"
            and before.inputs
        ):
            before = evidence.provenance.node(before.inputs[0].producer)
        if before is not None and before.phase == "backward":
            return True
    return False


def _backward(evidence: Evidence, track: Track) -> Node | None:
    nodes = evidence.run.step(track.first.step).nodes
    return next((one for one in nodes if one.phase == "backward" and (one.run_site or one.site)), None)


def _written_otherwise(evidence: Evidence, line: Site) -> bool:
    """Whether the program sets the ``data`` of a tensor or loads weights: no op shows that."""
    tree = evidence.source.tree(line.file)
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "data" and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "load_state_dict"
            and "optim" not in ast.unparse(node.func).lower())
        for node in (ast.walk(tree) if tree is not None else ())
    )  # fmt: skip


def _asked(evidence: Evidence, notice: Notice, line: Site) -> Iterator[Candidate]:
    """Yield the lines that were to ask for the step: a name without its parentheses, a call that never ran."""
    tree = evidence.source.tree(line.file)
    name = evidence.source.target(notice.site).rpartition(".")[2] if notice.site is not None else ""
    steps = [
        node for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Attribute) and node.attr == "step" and _is_optimizer(node.value, name)
    ]  # fmt: skip
    called = {
        id(node.func) for node in (ast.walk(tree) if tree is not None else ()) if isinstance(node, ast.Call)
    }
    for node in steps:
        if id(node) not in called and isinstance(node.ctx, ast.Load):
            yield Candidate(Site(line.file, node.lineno), "step", f"{ast.unparse(node)} is named, not called")
    guards = [
        (guard, node) for node in steps if id(node) in called for guard in _guards(tree, node.lineno)
    ]  # fmt: skip
    for guard, node in guards[:1]:
        yield Candidate(
            Site(line.file, guard.lineno), "step", f"{ast.unparse(node)}() waits for what never holds"
        )
    for node in steps if not guards else ():
        if id(node) in called:
            yield Candidate(Site(line.file, node.lineno), "step", f"{ast.unparse(node)}() was never run")


def _is_optimizer(value: ast.expr, name: str) -> bool:
    """Whether an expression is called what the optimizer is, or like one."""
    last = ast.unparse(value).rpartition(".")[2]
    return last == name or ("opt" in last.lower() and last != "self")


def _guards(tree: ast.Module | None, line: int) -> list[ast.If]:
    """Return the conditions around a line, the innermost first."""
    found = [
        node for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.If) and node.lineno < line <= (node.end_lineno or node.lineno)
        and "__main__" not in ast.unparse(node.test)
    ]  # fmt: skip
    return sorted(found, key=lambda node: -node.lineno)
