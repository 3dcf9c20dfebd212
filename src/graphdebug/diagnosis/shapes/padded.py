"""Padded: the line that says which padding an op has, where it is another than the op's own."""

from __future__ import annotations

import ast

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.origins import leading, placed
from graphdebug.diagnosis.words import node_name
from graphdebug.model.event import Node
from graphdebug.model.finding import Candidate

__all__ = ["names_padding", "padding_set"]


def _padding_argument(evidence: Evidence, node: Node) -> ast.expr | None:
    """Return what the line of a node says for its padding."""
    return evidence.source.keyword_values(node.site, "padding") if node.site is not None else None


def names_padding(evidence: Evidence, node: Node) -> bool:
    """Whether the line of a node itself says its padding."""
    given = _padding_argument(evidence, node)
    return isinstance(given, ast.Constant) or "valid" in evidence.source.line(node.site).lower()


def padding_set(evidence: Evidence, node: Node) -> list[Candidate]:
    """Return the line that wrote down the padding which the line of a node reads."""
    given = _padding_argument(evidence, node)
    if given is None or isinstance(given, ast.Constant) or node.site is None:
        return []
    place = placed(evidence.source, given, [*reversed(node.callers), node.site])
    said = str(node.attributes.get("padding"))
    way = leading(evidence.source, place, lambda one: _says(one.value, said))
    line = way[-1].line if way else None
    return [Candidate(line, "declaration", f"says padding {said} for {node_name(node)}")] if line else []


def _says(value: ast.expr, word: str) -> bool:
    return isinstance(value, ast.Constant) and str(value.value).lower() == word
