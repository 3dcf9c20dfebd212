"""Optimizer: the line that made it, told from the lines that ask it for its step."""

from __future__ import annotations

import ast
import re

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Node, Site

__all__ = ["asks_for_a_step", "compile_line", "optimizer_line"]

_FITTING = re.compile(r"([A-Za-z_][\w.]*)\.(?:fit|train_on_batch)\(")
"""The call that trains a compiled model; the first group is the model."""
_STEPPING = re.compile(r"([A-Za-z_][\w.]*)\.(?:step|apply_gradients|minimize|apply)\(")
"""The call that makes an optimizer step, in the words of all frameworks; the first group is the optimizer."""


def optimizer_line(evidence: Evidence, step: int) -> Site | None:
    """Return the line that made the optimizer: its assignment in the source, else where it steps."""
    for node in evidence.last_of_phase("optimizer", step):
        if node.site is None:
            continue
        called = _STEPPING.search(evidence.source.line(node.site))
        compiled = compile_line(evidence, node.site)
        if compiled is not None:
            return compiled
        if called is None:
            return node.site
        made = evidence.source.assignment(called[1], node.site)
        frames = [*reversed(node.callers), node.site]
        passed = called[1].isidentifier() and made is None
        born = evidence.provenance.arguments.born(ast.Name(called[1]), frames) if passed else None
        return made or born or node.site
    return None


def compile_line(evidence: Evidence, site: Site | None) -> Site | None:
    """Return the line that compiled the model which the line at `site` fits, with its loss and optimizer."""
    fitting = _FITTING.search(evidence.source.line(site)) if site is not None else None
    if fitting is None or site is None:
        return None
    return evidence.source.method_call(fitting[1], "compile", site)


def asks_for_a_step(evidence: Evidence, node: Node) -> bool:
    """Whether the user's line of a node only asks an optimizer for its step."""
    line = evidence.source.line(node.site)
    return ".minimize(" in line or _STEPPING.search(line) is not None or _FITTING.search(line) is not None
