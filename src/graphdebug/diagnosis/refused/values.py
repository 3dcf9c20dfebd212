"""Values: a call took the shapes that it was given, and refused the numbers in them."""

from __future__ import annotations

from graphdebug.diagnosis.account import Account, call, last_layer, loss_made, made_by, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.shape import operand_lines, when
from graphdebug.model.event import Failure, Operand
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain"]

_PASSING = ("cast", "reshape", "permute", "index", "copy", "cat", "split")
"""Families that give on the numbers as they are."""


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for numbers out of the range or order that a call takes."""
    refused = failure.detail.get("refused")
    ways = {"operand": _range, "parameter": _outside}
    account = ways.get(str(refused), _lengths)(evidence, failure)
    return evidence.finding(
        account.kind or "value_range",
        what=f"{failure.function or 'a call'} was given values that it does not take",
        candidates=[*account.candidates, *call(failure)], confidence=account.confidence, failed=failure.site,
        when=when(failure), tries=account.tries,
        body=[*operand_lines(evidence, failure.operands), *(f"  {one}" for one in account.body)],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _range(evidence: Evidence, failure: Failure) -> Account:
    """Probabilities, or targets of a loss on them, that are outside of 0 and 1."""
    target = failure.detail.get("word") == "target"
    role = "labels" if target else "input"
    odd = next((one for one in failure.operands if one.role == role), failure.operands[-1 if target else 0])
    least, largest = failure.detail.get("least"), failure.detail.get("largest")
    name = odd.expression or odd.name or ("the target" if target else "the prediction")
    body = [f"{name} goes from {_number(least)} to {_number(largest)}; it must lie between 0 and 1"]
    if target:
        tries = _scaled(least, largest)
        return Account(_began(evidence, odd, failure), body, tries, confidence=0.75)
    way = evidence.provenance.way(odd)[1]
    squashed = way and way[-1][0].function in ("sigmoid", "softmax")
    made = made_by(way[-1][0], f"the {way[-1][0].function} gives it") if way else []
    lines = [*loss_made(evidence, failure.site), *made, *last_layer(evidence, odd)]
    tries = ["take the loss on logits (bce_with_logits)", "put a sigmoid before it"]
    if largest in ("NaN", "Infinity") or squashed:
        tries = ["look where it stops being a number"]
    return Account(lines, body, tries, confidence=0.75, kind="not_probabilities")


def _outside(evidence: Evidence, failure: Failure) -> Account:
    """A parameter of a distribution, or what it is asked about, that it is not defined for."""
    origins = [line for one in failure.operands for line in operand_origin(evidence, one, failure, "is given")]
    body = [f"its {failure.detail.get('word')} must satisfy {failure.detail.get('constraint')}"]
    tries = ["bring it into that range where it is made (softplus, exp, clamp)"]
    return Account([*call(failure), *origins], body, tries, confidence=0.7)


def _began(evidence: Evidence, odd: Operand, failure: Failure) -> list[Candidate]:
    """Return where the numbers were made: behind all that only passes them on."""
    operand, unscaled = odd, list[Candidate]()
    for _ in range(20):
        node = evidence.provenance.node(operand.producer)
        if node is None or node.family not in _PASSING or not node.inputs:
            break
        operand = node.inputs[0]
        if node.family == "cast" and operand.fact.dtype == "uint8":  # pixels, of which it makes numbers
            unscaled = held(made_by(node, f"the {node.function} takes them from uint8 unscaled"), "lacks_step")
    return [*unscaled, *operand_origin(evidence, operand, failure, "makes these values")]


def _scaled(least: object, largest: object) -> list[str]:
    if largest in (255, 255.0):
        return ["divide it by 255"]
    if least in (-1, -1.0) and largest in (1, 1.0):
        return ["bring -1 and 1 to 0 and 1: (y + 1) / 2"]
    if least in (1, 1.0) and largest in (2, 2.0):
        return ["count from 0: y - 1"]
    return ["scale it into [0, 1]", "take a loss for class numbers, or for any value"]


def _lengths(evidence: Evidence, failure: Failure) -> Account:
    """Lengths of sequences that are not sorted, or 0."""
    if failure.detail.get("refused") == "unsorted":
        body = ["the lengths are not in falling order, as it takes them unless told otherwise"]
        return Account(
            call(failure), body, ["say enforce_sorted=False", "sort the batch by length"], confidence=0.8
        )
    lengths = next(
        (one for one in failure.operands if "int" in one.fact.dtype and len(one.fact.shape or ()) == 1), None
    )
    made = operand_origin(evidence, lengths, failure, "makes the lengths") if lengths is not None else []
    body = ["a sequence of length 0 is among them"]
    return Account(
        made, body, ["leave empty sequences out of the data", "lengths.clamp(min=1)"], confidence=0.75
    )


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
