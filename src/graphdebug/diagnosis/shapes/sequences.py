"""Sequences: a prediction for each step of a sample, where its target has one for the whole."""

from __future__ import annotations

from graphdebug.diagnosis.account import Account, call, made_by, operand_origin, trained_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Operand
from graphdebug.model.finding import Candidate

__all__ = ["OF_CLASSES", "each_step", "every_step"]

OF_CLASSES = ("cross_entropy", "nll_loss", "sparse_cross_entropy")
"""Losses whose predictions have a score for each class."""
_TARGET = "target_mismatch"


def every_step(evidence: Evidence, failure: Failure, guess: Operand, target: Operand) -> Account | None:
    """The prediction has a time axis and the target none: the last recurrent layer gives all its steps."""
    a, b = guess.fact.shape or (), target.fact.shape or ()
    recurrent = [one for one in evidence.provenance.declarations() if "return_sequences" in one.attributes]
    more = 2 if failure.function in OF_CLASSES and "float" not in target.fact.dtype and b[1:] != (1,) else 1
    kept = len(a) == len(b) + more and len(a) > 2 and a[:1] == b[:1] and a[1] != 1
    last = recurrent[-1] if recurrent and kept else None
    if last is None or last.site is None or last.attributes["return_sequences"] is not True:
        return None
    entry = trained_on(evidence, failure, "labels")
    entry = entry or operand_origin(evidence, target, failure, f"the target {shape_words(b)}")
    every = Candidate(last.site, "declaration", f"{last.name} gives every step", last.name)
    body = [f"prediction {shape_words(a)} against target {shape_words(b)}: one for each step of a sample"]
    tries = ["let the last recurrent layer give its last step only"]
    lines = [*held([every], "repairs"), *held(entry, "made_operand"), *held(call(failure), "refused")]
    return Account(lines, body, tries, kind=_TARGET, confidence=0.8)


def each_step(evidence: Evidence, failure: Failure, guess: Operand, target: Operand) -> Account | None:
    """The prediction has a time axis and the target none: every step of a recurrent layer was taken."""
    a, b = guess.fact.shape or (), target.fact.shape or ()
    classes = failure.function in OF_CLASSES and "float" not in target.fact.dtype
    if len(a) != len(b) + (2 if classes else 1) or len(a) < 3 or a[1] == 1 or a[1 : len(b)] == b[1:] != ():
        return None
    taken: list[Candidate] = []
    for node, _ in reversed(evidence.provenance.way(guess)[1]):
        layer = evidence.provenance.declared(node.module) if node.module else None
        if layer is None or not {"hidden_size", "return_sequences"} & set(layer.attributes):
            taken = made_by(node, "takes the state of every layer")
            continue
        if a[0] != b[0]:
            if a[1] != b[0] or not taken:
                return None
            body = [f"prediction {shape_words(a)} against target {shape_words(b)}: one for each layer's state"]
            lines = [*held(taken, "lacks_step"), *held(call(failure), "refused")]
            return Account(lines, body, ["take the last layer's state: h[-1]"], kind=_TARGET)
        body = [f"prediction {shape_words(a)} against target {shape_words(b)}: one for each step of a sample"]
        entry = operand_origin(evidence, target, failure, f"the target {shape_words(b)}")
        lines = [*held(made_by(node, f"{layer.name} gives every step"), "lacks_step"),
                 *held(call(failure), "refused"), *held(entry, "began")]  # fmt: skip
        return Account(lines, body, ["take its last step: out[:, -1]", "pool over the steps"], kind=_TARGET)
    return None
