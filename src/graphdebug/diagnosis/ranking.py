"""Ranking: in which order a failure's lines are named, by the evidence for and against each.

Rules find the lines in question and say what speaks for and against each, in the words below (`held`); which
line comes first is decided here alone. The model is additive: a line's score is the sum of the weights of its
clues, a weight is a natural logarithm of odds (0.7 doubles them), and the chance that a line is the true one is
its share among all lines named and the case that none of them is (a conditional logit). Confidence comes out
of it. A weight rests on a cause, which stands beside it; benchmarks/calibration.py counts how often lines with
each clue were the true ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp

import msgspec

from graphdebug.model.finding import Candidate

__all__ = ["CLUES", "Clue", "certainty", "held", "ranked"]


@dataclass(frozen=True, slots=True)
class Clue:
    """A kind of evidence about a line."""

    weight: float
    """What it adds to the line's score: above 0 it speaks for the line, below 0 against it."""
    cause: str
    """Why it does."""


CLUES: dict[str, Clue] = {
    # What a change of the line would do.
    "repairs": Clue(2.4, "with this one thing changed, everything recorded behind it fits"),
    "lacks_step": Clue(2.2, "what comes in has what is wanted, but for a step that is missing here"),
    "needs_more": Clue(-1.2, "with this changed, other things that fitted would have to be changed, too"),
    # Who agrees with whom.
    "odd_one": Clue(1.6, "what it made is outvoted by the others that it meets"),
    "agreed": Clue(-1.2, "other layers, labels or steps agree with it"),
    "other_data": Clue(2.0, "the same call took other data before: what came in is what changed"),
    "other_call": Clue(2.0, "the same layer took what another call of it gave"),
    "worked": Clue(-1.0, "it worked before, as it stands, with other data"),
    # What the line did.
    "moved_axis": Clue(2.0, "it put the size that is wanted on another axis"),
    "changed_size": Clue(1.6, "it made the difference: before it, the sizes were alike"),
    "declares_size": Clue(1.4, "it declares the very size that does not fit"),
    "made_operand": Clue(0.7, "it made what does not fit"),
    "said": Clue(1.6, "the error itself says so"),
    "passes_on": Clue(-0.6, "it only passes on what another line made or set"),
    # Where it stands.
    "refused": Clue(0.4, "the call that failed"),
    "began": Clue(0.2, "the data began there"),
    "beside": Clue(-0.4, "it is named for the sake of the line before"),
}
"""Every clue that a rule may give, by its name."""

_OF_WHOLE_LINES = ("beside", "passes_on")
"""Clues that do not hold of a line which was also named for another reason."""
_NONE_NAMED = 0.0
"""Score of the case that the true line is none of those named."""


def held(lines: Iterable[Candidate], *clues: str) -> list[Candidate]:
    """Return `lines` with `clues` added; the later ones of several are beside the first.

    Raises:
        KeyError: there is no such clue.

    """
    for clue in clues:
        CLUES[clue]
    return [
        msgspec.structs.replace(one, clues=(*one.clues, *clues, *(("beside",) if place else ())))
        for place, one in enumerate(lines)
    ]


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return one candidate a line, the one with most evidence first; of equals, the first given.

    What was said of one line in several places is added up. Without any clue the given order stays.
    """
    lines: dict[tuple[str, int], Candidate] = {}
    for one in candidates:
        place = one.site.file, one.site.line
        lines[place] = _joined(lines[place], one) if place in lines else one
    return sorted(lines.values(), key=lambda one: -_score(one))


def certainty(lines: Sequence[Candidate]) -> float:
    """Return the share that the first of `lines`, as ranked, has of all chances; 0 without any line."""
    chances = [exp(_score(one)) for one in lines]
    return chances[0] / (sum(chances) + exp(_NONE_NAMED)) if chances else 0.0


def _joined(one: Candidate, other: Candidate) -> Candidate:
    """Return a candidate with the clues of both; what holds of a line only as a whole must be in both."""
    both = set(one.clues) & set(other.clues)
    clues = [clue for clue in (*one.clues, *other.clues) if clue not in _OF_WHOLE_LINES or clue in both]
    return msgspec.structs.replace(one, clues=tuple(dict.fromkeys(clues)))


def _score(one: Candidate) -> float:
    return sum(CLUES[clue].weight for clue in one.clues)
