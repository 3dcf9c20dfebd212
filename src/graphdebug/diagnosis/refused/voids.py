"""Voids: labels below 0: marks of places that do not count, or class numbers from which something was taken."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import call, loss_made, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Failure, Operand
from graphdebug.model.finding import Candidate

__all__ = ["explain"]

Said = tuple[Sequence[str], list[str], list[Candidate]]


def explain(evidence: Evidence, failure: Failure, labels: Operand, high: object) -> Said | None:
    """Return what to say, try and blame of labels below 0, where their numbers tell how they came about.

    Args:
        evidence: what is known of the run.
        failure: the refusal.
        labels: the labels.
        high: the number of classes.

    """
    words = failure.detail
    value, within = words.get("value"), words.get("within")
    if not isinstance(value, int) or value >= 0 or not isinstance(within, list) or not isinstance(high, int):
        return None
    if words.get("alike") and within[0] == 0 and _marks(evidence, labels, value, within[1], high):
        told = f"  every label out of range is {value}, the others are class numbers: it marks what is void"
        tries = [f"ignore_index={value} in the loss", "leave those places out before the loss"]
        return [told], tries, loss_made(evidence, failure.site) or call(failure, "counts what is void")
    taken = next(
        (node for node, _ in reversed(evidence.provenance.way(labels)[1]) if node.function == "sub"), None
    )
    if taken is None or within[1] + 1 - value > high:
        return None
    told = f"  before the sub they began at 0: now the last class, {high - 1}, is never met"
    return [told], ["leave the class numbers as they are"], made_by(taken, "takes something off every one")


def _marks(evidence: Evidence, labels: Operand, value: int, most: int, high: int) -> bool:
    """Whether a negative label marks places that do not count: no other reading explains it.

    Class numbers less one (of which the last is never met), or -1 and 1 for two classes, are labels that count;
    in rows of labels, as long as the longest of them, -1 fills up the others.
    """
    root, links = evidence.provenance.way(labels)
    given = [labels.fact, root.fact, *(one.inputs[place].fact for one, place in links)]
    rows = any(len(one.shape or ()) > 1 for one in given)
    return value < -1 or most == high - 1 > 1 or (rows and most > 0)
