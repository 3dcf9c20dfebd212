"""Assertions: a check of the program's own that did not hold, in its own words, with what it looked at."""

from __future__ import annotations

import re

from graphdebug.diagnosis.account import call, last_layer, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.shape import operand_lines, when
from graphdebug.diagnosis.words import shape_words, shorten
from graphdebug.model.event import Failure, Operand
from graphdebug.model.finding import Finding

__all__ = ["explain"]

_PART = re.compile(r"\[([^\[\]]*)\]")


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a check that did not hold: its own words, and where what it looked at was made."""
    compared = _of_a_loss(evidence, failure)
    if compared is not None:
        return compared
    said = _said(failure.message)
    own = said[0].rstrip(".") if said and not said[0].startswith("Condition ") else ""
    values = next((part for part in said if part.startswith("Condition ")), "")
    checked = [one for one in failure.operands if one.origin not in ("constant", "unknown")]
    origins = operand_origin(evidence, checked[-1], failure, "makes what was checked") if checked else []
    words = [part for part in (said[1:] if own else said) if part != values]
    body = [f"  {values}"] if values else []
    body += [f"  {shorten(' '.join(words))}"] if words else []
    named = own if own and "=" not in own else ""
    return evidence.finding(
        "assertion", what=f"assertion failed: {named}" if named else "an assertion failed",
        candidates=[*call(failure, "the assertion"), *origins], confidence=0.8, when=when(failure),
        body=[*operand_lines(evidence, checked), *body], operands=failure.operands, evidence=(failure.seq,),
        tries=["look at what was checked where it is made"] if origins else (),
    )  # fmt: skip


def _of_a_loss(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding where what did not hold is that two tensors have the same sizes: a loss's check."""
    checked = [one for one in failure.operands if one.role != "condition"]
    sized = [found for one in checked if (found := _sized(evidence, one)) is not None]
    if len(sized) != 2 or sized[0].fact.shape == sized[1].fact.shape:
        return None
    learned = [last_layer(evidence, one) for one in sized]
    if bool(learned[0]) == bool(learned[1]):
        return None
    guess, target = (sized[0], sized[1]) if learned[0] else (sized[1], sized[0])
    entry = operand_origin(evidence, target, failure, f"the target {shape_words(target.fact.shape)}")
    body = [f"  prediction {shape_words(guess.fact.shape)} against target {shape_words(target.fact.shape)}"]
    return evidence.finding(
        "target_mismatch", what="the target does not go with the prediction: their sizes were compared",
        candidates=[*(learned[0] or learned[1]), *call(failure, "the loss that compares them"), *entry],
        confidence=0.7, failed=failure.site, when=when(failure), operands=(guess, target),
        evidence=(failure.seq,), body=[*operand_lines(evidence, (guess, target)), *body],
        tries=["make the last layer give the target's sizes (upsample, or stride less)"],
    )  # fmt: skip


def _sized(evidence: Evidence, operand: Operand) -> Operand | None:
    """Return the tensor whose sizes `operand` is, or is a part of."""
    node = evidence.provenance.node(operand.producer)
    for _ in range(4):
        if node is None or not node.inputs:
            return None
        if node.function == "shape":
            return node.inputs[0]
        node = evidence.provenance.node(node.inputs[0].producer)
    return None


def _said(message: str) -> list[str]:
    """Return the parts of a message: TensorFlow's op puts them in brackets, its Python on lines."""
    _head, found, rest = message.partition("assertion failed:")
    parts = _PART.findall(rest.partition("\n")[0]) if found else message.splitlines()
    return [part.strip() for part in parts if part.strip()]
