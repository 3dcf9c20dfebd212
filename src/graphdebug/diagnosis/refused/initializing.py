"""Initializing: variables and tables read before anything had set them, and queues that nothing fills."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import chain

from graphdebug.diagnosis.account import call, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused.graphs import session_line
from graphdebug.diagnosis.refused.misuse import declared_by, explain
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Failure, Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain_starved", "explain_uninitialized"]

_EMPTYING = ("uninitialized", "unfed")
"""Why the runner of a queue ends, and the queue is closed: it has no session call of the user's to raise in."""
_SEARCHED = 20
"""Steps at the start of a run, where initializers run."""
_TRIES = {
    "variable": ["run the initializer after the last variable is made (an optimizer makes some too)"],
    "table": ["run tables_initializer(), too"],
    "iterator": ["run the initializer of the iterator before the first batch, too",
                 "make_one_shot_iterator needs none"],
}  # fmt: skip


def explain_uninitialized(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a variable, table or iterator without a value: why it was not given one."""
    word = next((one for one in ("table", "iterator") if failure.detail.get(one)), "variable")
    named, body = _apart(evidence, failure, word) if word != "variable" else _variable(evidence, failure)
    article = "an" if word == "iterator" else "a"
    return evidence.finding(
        "uninitialized", what=f"{article} {word} was read before it was initialized",
        candidates=[*named, *call(failure)], confidence=0.85 if named else 0.7, failed=failure.site,
        when=when(failure), body=body,
        tries=_TRIES[word], operands=failure.operands,
        evidence=(failure.seq,),
    )  # fmt: skip


def explain_starved(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for a queue that was closed empty: why what was to fill it failed, if known."""
    unfilled = failure.detail.get("unfilled")
    if isinstance(unfilled, list) and unfilled:
        return evidence.finding(
            "starved", what="the run waits for a queue that nothing fills", candidates=call(failure, "the run"),
            confidence=0.85, when=when(failure),
            body=[f"  {', '.join(map(str, unfilled[:3]))}: its runner was never started in this session"],
            tries=["start the queue runners before the first run: start_queue_runners(session)"],
            evidence=(failure.seq,),
        )  # fmt: skip
    earlier = [
        one for one in evidence.run.failures
        if one.seq < failure.seq and one.framework == failure.framework and one.category in _EMPTYING
    ]  # fmt: skip
    if not earlier:
        return _used_up(evidence, failure)
    last = earlier[-1]
    return (
        explain_uninitialized(evidence, last) if last.category == "uninitialized" else explain(evidence, last)
    )


def _used_up(evidence: Evidence, failure: Failure) -> Finding | None:
    """A counter let what fills the queue go through the data so many times, and the run asks for more."""
    before = evidence.before(failure.seq, failure.step)
    counter = next(
        (one for one in before if one.function.endswith("count_up_to") and one.site is not None), None
    )
    if counter is None or counter.site is None:
        return None
    limit = evidence.source.keyword_values(counter.site, "num_epochs")
    rounds = f"num_epochs={ast.unparse(limit)}" if limit is not None else "a limit of epochs"
    return evidence.finding(
        "starved", what="the input is used up, and the run asks for more of it",
        candidates=[Candidate(counter.site, "declaration", f"gives the data with {rounds}", counter.name),
                    *call(failure)],
        confidence=0.8, failed=failure.site, when=when(failure),
        body=[f"  its source ended by itself, with {rounds}; the queue was closed when that was reached",
              f"  asked for more at {place(failure.run_site or failure.site)}"],
        tries=["let the source go on for as many epochs as the loop does",
               "end the loop at the OutOfRangeError"],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _apart(evidence: Evidence, failure: Failure, word: str) -> tuple[list[Candidate], list[str]]:
    """An initializer of variables leaves tables and iterators out."""
    made = [
        line
        for one in failure.operands[:1]
        for line in operand_origin(evidence, one, failure, f"makes the {word}")
    ]
    ran = failure.run_site or failure.site
    run = [Candidate(ran, "caller", "the run")] if ran is not None else []
    for node in _first_nodes(evidence):
        if node.run_site is not None and node.family == "control" and _initializes(evidence, node):
            body = [f"  an initializer ran ({place(node.run_site)}): {word}s have one of their own"]
            return [
                Candidate(node.run_site, "caller", "runs the initializer, of variables only"),
                *run,
                *made,
            ], body
    return [*run, *made], ["  no initializer ran"]


def _variable(evidence: Evidence, failure: Failure) -> tuple[list[Candidate], list[str]]:
    name = str(failure.detail.get("variable", ""))
    named, body = declared_by(evidence, failure, name)
    session = session_line(evidence, failure.run_site or failure.site)
    begins = [Candidate(session, "declaration", "the session begins")] if session is not None else []
    restorer = _restorer(evidence, failure, name)
    if restorer is not None and restorer.site is not None:
        ran = place(restorer.run_site)
        body.append(f"  a checkpoint was restored ({ran}), but {name} is none of the variables that it sets")
        return [
            Candidate(restorer.site, "declaration", "makes a Saver without it", restorer.name),
            *named,
        ], body
    done = (one for one in _first_nodes(evidence) if one.step < failure.step and one.run_site is not None)
    before = next((one for one in done if one.name == f"{name}/Assign"), None)
    if before is not None and begins:
        body.append(f"  it was initialized at {place(before.run_site)}, in another session")
        return [*begins, *named], body
    early = _early_initializer(evidence, failure, name)
    if early is not None and early.site is not None:
        body.append(f"  an initializer ran, but it was made at {place(early.site)}, before {name} was")
        return [
            Candidate(early.site, "declaration", "makes the initializer too early", early.name),
            *named,
        ], body
    partial = _partial_initializer(evidence, failure, name)
    if partial is None or partial.site is None:
        return [*named[:1], *begins, *named[1:]], body
    body.append(f"  an initializer ran ({place(partial.site)}), but {name} is none of those it sets")
    body.append("  is it local (a metric's, an input queue's)? then the local initializer is to run, too")
    lines = [Candidate(partial.site, "declaration", "makes an initializer without it", partial.name)]
    if partial.run_site is not None:
        lines.append(Candidate(partial.run_site, "caller", "runs the initializer"))
    return [*lines, *named], body


def _restorer(evidence: Evidence, failure: Failure, name: str) -> Node | None:
    """Return the restore that ran last before the failure, where it set others and not this variable."""
    sets: list[str] = []
    for node in evidence.before(failure.seq, failure.step):
        if node.mutates and node.inputs:
            sets.append(node.inputs[0].name)
        if node.function.startswith("restore"):
            return node if sets and name not in sets else None
    return None


def _first_nodes(evidence: Evidence) -> Iterator[Node]:
    for step in evidence.steps[:_SEARCHED]:
        yield from evidence.run.step(step).nodes


def _partial_initializer(evidence: Evidence, failure: Failure, name: str) -> Node | None:
    """Return the initializer that ran before the failure, was made below the variable, and did not set it."""
    declared, node = _beside(evidence, failure, name)
    if declared is None or node is None or node.site is None:
        return None
    sets = [one.name for it in evidence.run.step(node.step).nodes if it.mutates for one in it.inputs[:1]]
    return node if node.site.line > declared.line and name not in sets else None


def _early_initializer(evidence: Evidence, failure: Failure, name: str) -> Node | None:
    """Return the initializer that ran before the failure and was made above the line that made the variable."""
    declared, node = _beside(evidence, failure, name)
    return node if declared and node and node.site and node.site.line < declared.line else None


def _beside(evidence: Evidence, failure: Failure, name: str) -> tuple[Site | None, Node | None]:
    """Return where the variable was declared and, of the same file, the last initializer that ran before the
    failure: in the steps before it, else at the start of the run.
    """
    declared = evidence.provenance.declared(name)
    if declared is None or declared.site is None:
        return None, None
    early = sorted((one for one in _first_nodes(evidence) if one.seq < failure.seq), key=lambda one: -one.seq)
    for node in chain(evidence.before(failure.seq, failure.step), early):
        if node.family == "control" and node.site is not None and _initializes(evidence, node):
            return declared.site, node if node.site.file == declared.site.file else None
    return declared.site, None


def _initializes(evidence: Evidence, group: Node) -> bool:
    """Whether `group` ran alone or with assignments, and nothing was computed from data: an initializer."""
    nodes = evidence.run.step(group.step).nodes
    return all(
        one.phase == "forward" and one.family not in ("linear", "matmul", "conv", "loss") for one in nodes
    )
