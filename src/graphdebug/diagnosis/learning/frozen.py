"""Frozen: a model that was fitted though none of its variables may change."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["frozen"]


def frozen(evidence: Evidence) -> Sequence[Finding]:
    """Return the finding for a model that had no variable to train from the beginning to the end of its fit."""
    fitted = [one for one in evidence.provenance.declarations() if one.type == "Fitted"]
    told = next((one for one in fitted if one.attributes.get("trainable") == 0 and one.site is not None), None)
    if told is None or told.site is None:
        return []
    many, model = told.attributes.get("variables"), told.attributes.get("model")
    around = (_freezing(evidence, one) for one in (told.site, *told.callers))
    freezing = next((one for one in around if one), [])
    lines = [Candidate(one, "declaration", "lets nothing be trained") for one in freezing]
    return [
        evidence.finding(
            "untrained_parameter", what=f"{model} was fitted, and none of its {many} variables is trainable",
            candidates=[*lines, Candidate(told.site, "caller", "fits it")], confidence=0.85,
            when="nothing failed",
            body=[f"  no gradient is asked for in the fit at {place(told.site)}: nothing changes"],
            tries=["freeze the base only: for layer in base.layers"], evidence=(told.seq,),
        )
    ]  # fmt: skip


def _freezing(evidence: Evidence, fit: Site) -> list[Site]:
    """Return the lines before a call, in its function, that set ``trainable = False``, the last first."""
    tree, begin = evidence.source.tree(fit.file), evidence.source.function_line(fit) or 0
    lines = [
        node.lineno
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is False
        and any(isinstance(one, ast.Attribute) and one.attr == "trainable" for one in node.targets)
        and begin <= node.lineno < fit.line
    ]  # fmt: skip
    return [Site(file=fit.file, line=one) for one in sorted(lines, reverse=True)]
