"""Files: what a program reads is not there, or is not what it is read as."""

from __future__ import annotations

from graphdebug.diagnosis.account import call, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.words import telling
from graphdebug.model.event import Failure
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain_damaged", "explain_missing"]


def explain_missing(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a file or checkpoint that is not where it was looked for."""
    path = str(failure.detail.get("path", "")).strip()
    restores = "restore" in failure.function
    tries = ["is the path right, seen from the folder that the program was started in?"]
    if restores:
        tries = [
            "give the prefix that it was saved under, with its step, without .index or .data",
            "the newest one: latest_checkpoint(folder)",
        ]
    return evidence.finding(
        "missing_file", what=f"there is no {'checkpoint' if restores else 'file'} {path}",
        candidates=_lines(evidence, failure, "names the file"), confidence=0.75, when=when(failure),
        body=[f"  {line}" for line in telling(failure.message)], tries=tries, operands=failure.operands,
        evidence=(failure.seq,),
    )  # fmt: skip


def explain_damaged(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a file that is damaged, or of another format than it is read as."""
    offset, cut = failure.detail.get("offset"), failure.detail.get("cut")
    if cut is not None:
        what, tries = f"a file ends within a record, at byte {cut}", ["is it still written? else write it anew"]
    elif offset == 0:
        what = "a file is not of the format that it is read as, or damaged from its first byte"
        tries = ["read it by its own format (compressed? say compression_type)", "write it anew"]
    else:
        at = f" at byte {offset}" if offset is not None else ""
        what, tries = f"a file is damaged{at}", ["write or fetch it anew", "compare its size and checksum"]
    return evidence.finding(
        "damaged_file", what=what, candidates=_lines(evidence, failure, "opens the file"), confidence=0.7,
        when=when(failure), body=[f"  {line}" for line in telling(failure.message)], tries=tries,
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _lines(evidence: Evidence, failure: Failure, why: str) -> list[Candidate]:
    """Return the call that reads, and the lines that made what it reads from."""
    origins = [one for each in failure.operands for one in operand_origin(evidence, each, failure, why)]
    return [*call(failure, "the call that reads it"), *origins]
