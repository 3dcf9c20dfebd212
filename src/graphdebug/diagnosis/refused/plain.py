"""Plain: what Python does with its own numbers and lists, done with a tensor, which refuses it."""

from __future__ import annotations

import ast

from graphdebug.diagnosis import loops
from graphdebug.diagnosis.account import Account, call
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused.told import told
from graphdebug.model.event import Failure
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain"]

_OF_VARIABLES = ("assign", "assign_add", "assign_sub")


def explain(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for an attribute or an item of a tensor that there is none of."""
    if failure.site is None:
        return None
    attribute = str(failure.detail.get("attribute", ""))
    if attribute in _OF_VARIABLES:
        account = _replaced(evidence, failure, attribute)
    elif attribute:
        account = Account(call(failure), [f"a tensor here has no {attribute}"], ["use an op in its place"])
        if attribute == "numpy":
            account.body = ["this line runs while a graph is built: its tensors have no values yet"]
            account.tries = ["use an op of the framework in its place (for printing: tf.print)"]
    else:
        tries = ["make a new tensor: where(mask, new, old), or a product with a mask",
                 "keep it in a variable, whose parts can be assigned"]  # fmt: skip
        account = Account(call(failure), ["parts of a tensor can't be written: it never changes"], tries)
    return told(evidence, failure, "plain_python", "a tensor can't do what Python's own values do", account)


def _replaced(evidence: Evidence, failure: Failure, attribute: str) -> Account:
    """A plain tensor stands where a variable was: the line that put it there."""
    tree = evidence.source.tree(failure.site.file) if failure.site is not None else None
    owners = [
        ast.unparse(node.value) for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Attribute) and node.attr == attribute and failure.site is not None
        and node.lineno <= failure.site.line <= (node.end_lineno or node.lineno)
    ]  # fmt: skip
    line = loops.rebound(evidence.source, owners, failure.site) if failure.site is not None else None
    body = [f"only a variable has {attribute}; it is a plain tensor, which was computed"]
    made = (
        [Candidate(line, "origin", "puts a plain tensor in the variable's place")] if line is not None else []
    )
    return Account(made, body, ["write into the variable: v.assign_sub(step), not v = v - step"])
