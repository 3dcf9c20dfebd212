"""Rows: a prediction has another number of rows than there are targets."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import Account, call, made_by, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.setters import setter
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Operand
from graphdebug.model.finding import Candidate

__all__ = ["unlike"]


def unlike(
    evidence: Evidence, failure: Failure, both: Sequence[Operand], entry: Sequence[Candidate], body: list[str]
) -> Account:
    """A prediction of another number of rows than there are targets."""
    guess, target = both
    rows, wanted = ((one.fact.shape or (1,))[0] for one in (guess, target))
    body.append(f"{rows} rows against {wanted} targets")
    turned = _batch_change(evidence, guess, wanted)
    came = [] if turned else _rows_from(evidence, failure, guess)
    made = [] if came else operand_origin(evidence, guess, failure, f"makes {shape_words(guess.fact.shape)}")
    lines = [*held(turned, "changed_size"), *held(entry, "made_operand"), *held(came, "made_operand"),
             *held(made, "made_operand", "beside"), *held(call(failure), "began")]  # fmt: skip
    tries = ["keep the rows of the batch there"] if turned else []
    tries.append(f"give {rows} targets, one for each row of the prediction")
    return Account(lines, body, tries, confidence=0.7)


def _rows_from(evidence: Evidence, failure: Failure, guess: Operand) -> list[Candidate]:
    """Return the line of the data that a prediction has its rows from."""
    by = setter(evidence, guess, 0)
    if by.node is not None and by.node.family not in ("random", "fill"):
        return []
    return operand_origin(evidence, by.operand, failure, f"makes {shape_words(by.operand.fact.shape)}")


def _batch_change(evidence: Evidence, operand: Operand, rows: int | None) -> list[Candidate]:
    """Return the last node on the way that took `rows` rows and gave another number of them.

    Of a layer that was told the batch is on another axis, its declaration comes first.
    """
    _, links = evidence.provenance.way(operand)
    after = operand.fact.shape
    for node, through in reversed(links):
        before = node.inputs[through].fact.shape
        took = bool(before) and (before or ())[0] == rows and (not after or after[0] != rows)
        unknown = (
            bool(before) and (before or ())[0] is None and bool(after) and (after or ())[0] not in (rows, None)
        )
        if took or unknown:
            declared = evidence.provenance.declared(node.module) if node.module else None
            turned = declared is not None and declared.attributes.get("batch_first") is False
            why = f"the {node.function} {shape_words(before)} -> {shape_words(after)}"
            layer = declared.site if declared is not None and turned else None
            first = [Candidate(layer, "declaration", "declared with batch_first=False")] if layer else []
            return [*first, *made_by(node, why)]
        after = before
    return []
