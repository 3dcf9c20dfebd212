"""Parameters: what an optimizer was given is none, or can't be trained, or has a setting out of its range."""

from __future__ import annotations

import ast

from graphdebug.diagnosis.account import Account, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused import switches
from graphdebug.diagnosis.refused.told import told
from graphdebug.diagnosis.words import telling
from graphdebug.model.event import Failure, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain"]

_WORDS = {
    "learning rate": "lr", "lr": "lr", "momentum": "momentum", "weight_decay": "weight_decay",
    "beta": "betas", "epsilon": "eps",
}  # fmt: skip
"""Settings as errors call them, and the keyword of each."""


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for an optimizer that could not be made."""
    ways = {"empty": _empty, "computed": _computed, "setting": _setting}
    way = ways.get(str(failure.detail.get("refused")), _plain)
    account = way(evidence, failure)
    what = "an optimizer does not take what it was given"
    return told(evidence, failure, "bad_parameters", what, account, "makes the optimizer")


def _empty(evidence: Evidence, failure: Failure) -> Account:
    """There was no parameter: the model counts none as its own, or all were filtered out, or used up."""
    words = failure.detail
    kind, held = words.get("type", "the model"), words.get("loose")
    if held and words.get("parameters") == 0:
        line = [
            Candidate(Site(str(words["file"]), int(words["line"])), "declaration", f"holds {held} as its own")
        ]
        layers = words.get("kind") == "layers"
        counts = "layers in a plain list or dict" if layers else "plain tensors"
        tries = ["hold them in a ModuleList or ModuleDict"] if layers else ["make them nn.Parameter"]
        return Account(line, [f"{kind} has no parameters: {held} are {counts}, which it does not count"], tries)
    if words.get("parameters") and not words.get("trainable"):
        frames = [*([failure.site] if failure.site is not None else []), *reversed(failure.frames)]
        sites = switches.freezing(evidence.source, frames)
        lines = [Candidate(one, "declaration", "takes requires_grad from the weights") for one in sites]
        body = [f"all {words['parameters']} parameters of {kind} are frozen: requires_grad is False"]
        return Account(lines, body, ["freeze only the layers that are not trained"])
    for name in evidence.source.arguments(failure.site) if failure.site is not None else ():
        made, value = evidence.source.assigned(name, failure.site)  # type: ignore[arg-type]
        once = isinstance(value, ast.GeneratorExp) or (
            isinstance(value, ast.Call)
            and ast.unparse(value.func).rpartition(".")[2] in ("parameters", "filter")
        )
        if made is not None and once:
            body = [f"{name} can be gone through once only; it was used up before"]
            return Account([Candidate(made, "origin", f"makes {name}", name)], body, [f"make {name} a list"])
    declared = (
        evidence.provenance.declared(str(words.get("module", ""))) if words.get("parameters") == 0 else None
    )
    own = (
        [Candidate(declared.site, "declaration", f"makes {kind}")]
        if declared is not None and declared.site
        else []
    )
    return Account(
        own, ["there is no parameter among what it was given"], ["give it model.parameters()"], (), 0.7
    )


def _computed(evidence: Evidence, failure: Failure) -> Account:
    """A tensor that was computed: a step would change a copy of what is to be trained."""
    asked = next(iter(failure.operands), None)
    made = operand_origin(evidence, asked, failure, "computes it") if asked is not None else []
    body = ["one of the tensors was computed from others; only leaves can be trained"]
    tries = ["make it a leaf where it is made: (...).detach().requires_grad_()", "turn requires_grad on last"]
    return Account(made, body, tries, confidence=0.85)


def _setting(evidence: Evidence, failure: Failure) -> Account:
    """A number out of its range."""
    word = _WORDS.get(str(failure.detail.get("word")).removesuffix(" value"), "")
    value = evidence.source.keyword_values(failure.site, word) if failure.site is not None and word else None
    frames = [*failure.frames] or ([failure.site] if failure.site is not None else [])
    made = evidence.provenance.arguments.born(value, frames) if value is not None else None
    lines = [Candidate(made, "origin", f"sets {word}")] if made is not None else []
    tries = [f"set {word} to a number in its range" if word else "set it to a number in its range"]
    return Account(lines, telling(failure.message, 1), tries, confidence=0.8)


def _plain(evidence: Evidence, failure: Failure) -> Account:  # noqa: ARG001 - a rule's form
    twice = failure.detail.get("refused") == "twice"
    tries = (
        ["leave those of the other groups out of it"]
        if twice
        else ["give it the tensors to train: model.parameters()"]
    )
    return Account([], telling(failure.message, 1), tries, confidence=0.8)
