"""Resolutions: an image that was predicted and its target are of different height or width."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import Account, call, data_entry, last_layer
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.model.event import Failure, Operand, Shape
from graphdebug.model.finding import Candidate

__all__ = ["unlike"]


def unlike(
    evidence: Evidence, failure: Failure, both: Sequence[Operand], entry: Sequence[Candidate], body: list[str]
) -> Account:
    """Account for the two: where the prediction kept the sides of the input, the target is the odd one."""
    guess, target = both
    tries = ["give both the same sides: pad or crop, or resize one of them"]
    root, links = evidence.provenance.way(guess)
    layer = last_layer(evidence, guess)
    if _of_the_input(evidence, guess, target.fact.shape or ()):
        body.append("the prediction has the sides of the input, the target has not")
        lines = [*held(entry, "odd_one"), *held(call(failure), "refused"), *held(layer, "began")]
    else:
        came = data_entry(evidence, root, failure, links)
        lines = [*held(entry, "made_operand"), *held(came, "began"), *held(layer, "began"),
                 *held(call(failure), "refused")]  # fmt: skip
    return Account(lines, body, tries, kind="target_mismatch", confidence=0.7)


def _of_the_input(evidence: Evidence, guess: Operand, target: Shape) -> bool:
    """Whether an image was predicted with the very sides that came in, which the target has not."""
    root, links = evidence.provenance.way(guess)
    came, sides = (one.fact.shape or () for one in (root, guess))
    if len(came) != len(sides) or len(sides) < 4 or not links or len(target) < 3:
        return False
    inside = slice(2, None) if came[2:] == sides[2:] else slice(1, -1)
    return came[inside] == sides[inside] and sides[inside] not in (target[1:], target[inside])
