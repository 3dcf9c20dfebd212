"""Shared: variables that are shared by name: one that is not there to be reused, or has another shape."""

from __future__ import annotations

import ast

from graphdebug.diagnosis.account import Account, call
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused.told import told
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Failure, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain_missing", "explain_shared"]


def explain_missing(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a variable that was to be reused before it was made."""
    name = str(failure.detail.get("variable", ""))
    scope = evidence.source.block(failure.site) if failure.site is not None else None
    lines = [Candidate(scope, "declaration", "opens its scope for reuse", name)] if scope is not None else []
    around = [Candidate(one, "caller", "asks for reuse") for one in reversed(failure.frames[:-1])]
    reuse = evidence.source.keyword_values(scope, "reuse") if scope is not None else None
    if isinstance(reuse, ast.Name):  # the function's caller says it
        lines = [*around[:1], *lines]
    lines = [*lines, *around]
    body = ["a scope with reuse=True makes no variable: the first use must make it"]
    tries = ["reuse=tf.AUTO_REUSE makes it the first time", "is it made in a scope of another name?"]
    lines = [*lines[:1], *call(failure, "gets it"), *lines[1:]]
    what = f"the variable {name} is to be reused, but there is none of that name"
    return told(evidence, failure, "variable_missing", what, Account(lines, body, tries, confidence=0.75))


def explain_shared(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a shared variable that is asked for in another shape than it was made in."""
    name = str(failure.detail.get("variable", ""))
    was, now = (tuple(failure.detail.get(key) or ()) for key in ("expected", "found"))
    around = list(reversed(failure.frames[:-1]))
    given = [one for site in around for one in _declared_on(evidence, site, was, now)]
    callers = [Candidate(one, "caller", "the second call") for one in around]
    declared = evidence.provenance.declared(name)
    first = [Candidate(declared.site, "declaration", "made it first", name)] if (
        declared is not None and declared.site is not None) else []  # fmt: skip
    body = [f"{name} was made {shape_words(was)}, and is asked for as {shape_words(now)}"]
    body += [f"{one.name} ({place(one.site)}) brings the other size" for one in given[:1]]
    lines = [*given, *callers[:1], *call(failure, "gets it"), *first, *callers[1:]]
    tries = ["give both calls inputs of one width", "a scope of its own for each"]
    account = Account(lines, body, tries, confidence=0.75 if given else 0.6)
    what = f"the shared variable {name} has another shape"
    return told(evidence, failure, "shape_mismatch", what, account)


def _declared_on(
    evidence: Evidence, site: Site, was: tuple[object, ...], now: tuple[object, ...]
) -> list[Candidate]:
    """Return what the call at `site` is given, if its declared sizes have a size that only `now` has."""
    odd = {size for size in now if size not in was}
    tree = evidence.source.tree(site.file)
    lines = []
    for name in evidence.source.arguments(site):
        made = evidence.source.assignment(name, site)
        for node in ast.walk(tree) if tree is not None and made is not None else ():
            if isinstance(node, ast.Assign) and made is not None and node.lineno == made.line:
                sizes = {part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)}
                if odd & sizes:
                    lines.append(Candidate(made, "declaration", "brings the other size", name))
    return lines
