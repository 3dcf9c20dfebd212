"""Traced: a tape, a signature or an optimizer was made for something else than it is then used for."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import Account, call
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused.told import told
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Operand, Site, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain_optimizer", "explain_signature", "explain_tape"]

_METHODS = ("apply_gradients", "apply", "gradient", "jacobian", "batch_jacobian")


def explain_tape(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a tape that was asked for gradients twice."""
    made = _receiver(evidence, failure.site)
    lines = [Candidate(made, "declaration", "opens the tape for one use")] if made is not None else []
    body = ["a tape frees what it holds when it has given gradients once"]
    tries = ["ask for all at once: tape.gradient(loss, [a, b])", "GradientTape(persistent=True)"]
    what = "a tape was asked for gradients a second time"
    return told(evidence, failure, "backward_twice", what, Account(lines, body, tries), "the second request")


def explain_optimizer(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for an optimizer that was built for other variables."""
    name = str(failure.detail.get("variable", ""))
    made = _receiver(evidence, failure.site)
    lines = [Candidate(made, "declaration", "makes the optimizer, for the variables it meets first")] if (
        made is not None) else []  # fmt: skip
    around = [
        Candidate(one, "caller", "the call with other variables") for one in reversed(failure.frames[:-1])
    ]
    body = ["an optimizer keeps its state for the variables it was first applied to, and takes no others"]
    tries = ["an optimizer of its own for each model", "call optimizer.build(all_variables) first"]
    account = Account([*lines, *call(failure), *around], body, tries, confidence=0.75)
    what = f"an optimizer does not know the variable {name}"
    return told(evidence, failure, "wrong_argument", what, account)


def explain_signature(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for an argument that a function's input_signature does not take."""
    words = failure.detail
    was, now = tuple(words.get("expected") or ()), tuple(words.get("found") or ())
    dtypes = words.get("expected_dtype"), words.get("found_dtype")
    given = Operand(TensorFact(now, str(dtypes[1])), role="input")
    frames = failure.frames or ((failure.site,) if failure.site is not None else ())
    made = evidence.provenance.arguments.made_at(given, frames) if frames else None
    names = evidence.source.arguments(failure.site) if (
        made is not None and failure.site is not None and made.line == failure.site.line) else ()  # fmt: skip
    if failure.site is not None and len(names) == 1:  # the only name that goes into the argument
        made = evidence.source.assignment(names[0], failure.site) or made
    entry = [Candidate(made, "input", f"makes {shape_words(now)} {dtypes[1]}")] if made is not None else []
    signature = _signature(evidence, failure.site)
    declared = [Candidate(signature, "declaration", "declares what it takes")] if signature is not None else []
    lines = [*entry, *call(failure, "the call"), *declared]
    if dtypes[0] == dtypes[1] and len(was) != len(now):
        lines = [*declared, *call(failure, "the call"), *entry]
    body = [f"it takes {shape_words(was)} {dtypes[0]}; it was given {shape_words(now)} {dtypes[1]}"]
    tries = [f"give it {shape_words(was)} {dtypes[0]}", "widen the signature: None for a size that differs"]
    kind = "shape_mismatch" if dtypes[0] == dtypes[1] else "dtype_mismatch"
    what = "a function was called with what its input_signature does not take"
    return told(evidence, failure, kind, what, Account(lines, body, tries, confidence=0.75))


def _receiver(evidence: Evidence, site: Site | None) -> Site | None:
    """Return the line that made what the call at `site` is a method of."""
    if site is None:
        return None
    found = (evidence.source.receiver(site, method) for method in _METHODS)
    return next((one for one in found if one is not None), None)


def _signature(evidence: Evidence, site: Site | None) -> Site | None:
    """Return the line of the decorator with a signature of a function that is called at `site`."""
    names: Sequence[str] = evidence.source.names(site) if site is not None else ()
    return next(
        (one for name in names if site and (one := evidence.source.decorator(name, "input_signature", site))),
        None,
    )
