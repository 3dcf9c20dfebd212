"""Mapped: what a transform of a function (a map over a batch, a gradient) can't do with it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.account import Account, call, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.shape import operand_lines, when
from graphdebug.diagnosis.words import telling
from graphdebug.model.event import Failure, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain"]


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a function that could not be mapped."""
    account = _account(evidence, failure)
    return evidence.finding(
        "not_mapped", what="a function can't be mapped over a batch as it is",
        candidates=[*account.candidates, *call(failure)], confidence=account.confidence, failed=failure.site,
        when=when(failure), tries=account.tries, operands=failure.operands, evidence=(failure.seq,),
        body=[*operand_lines(evidence, failure.operands), *(f"  {one}" for one in account.body)],
    )  # fmt: skip


def _account(evidence: Evidence, failure: Failure) -> Account:
    said, message = telling(failure.message, 1), failure.message
    mapped = [Candidate(one, "declaration", "maps the function") for one in _mapping(evidence, failure)]
    if "running_mean" in message:
        declared = evidence.provenance.declared(failure.module) if failure.module else None
        own = [Candidate(declared.site, "declaration", f"declares {failure.module}", failure.module)] if (
            declared is not None and declared.site is not None) else []  # fmt: skip
        body = [
            f"{failure.module or 'it'} changes its running statistics in place: one state, many samples at once"
        ]
        return Account(own, body, ["take a norm without statistics (GroupNorm)", "track_running_stats=False"])
    if "in_dim" in message or "mapped dimension" in message:
        origins = [
            one for each in failure.operands for one in operand_origin(evidence, each, failure, "is mapped")
        ]
        tries = ["say in in_dims which axis of each argument is the batch; None: the same for all"]
        return Account([*mapped, *origins], said, tries)
    if "random" in message:
        return Account(mapped, said, ["say randomness='different' (or 'same')"])
    if ".item()" in message or "control flow" in message:
        return Account(call(failure, "needs one number, for each sample another"), said,
                       ["choose by torch.where instead of if"])  # fmt: skip
    tries = ["call the function on one sample, without the map, to see which part refuses"]
    return Account([*call(failure), *mapped], said, tries, confidence=0.5)


def _mapping(evidence: Evidence, failure: Failure) -> Sequence[Site]:
    """Return the lines that made the mapped functions which the frames call."""
    frames = [*([failure.site] if failure.site is not None else []), *reversed(failure.frames)]
    found: dict[Site, None] = {}
    for frame in frames:
        tree = evidence.source.tree(frame.file)
        for node in ast.walk(tree) if tree is not None else ():
            if not isinstance(node, ast.Call) or not node.lineno <= frame.line <= (
                node.end_lineno or node.lineno
            ):
                continue
            if "vmap" in ast.unparse(node.func):
                found[Site(frame.file, node.lineno)] = None
            elif isinstance(node.func, ast.Name):
                made, value = evidence.source.assigned(node.func.id, frame)
                if made is not None and value is not None and "vmap" in ast.unparse(value):
                    found[made] = None
    return list(found)
