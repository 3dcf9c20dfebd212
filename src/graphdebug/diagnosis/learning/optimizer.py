"""Optimizer: the line that made it, told from the lines that ask it for its step."""

from __future__ import annotations

import ast
import re

from graphdebug.diagnosis.account import compiled_at
from graphdebug.diagnosis.calls import called
from graphdebug.diagnosis.configured import settings
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.scales import unscaled
from graphdebug.diagnosis.learning.tracks import optimizers
from graphdebug.diagnosis.scopes import covers
from graphdebug.model.event import Node, Site, Source
from graphdebug.model.finding import Candidate

__all__ = ["asks_for_a_step", "compile_line", "optimizer_line", "step_size"]

_RATES = ("lr", "learning_rate")
_NAMES = ("lr", "learning_rate", "rate", "step_size", "alpha", "eta", "learningrate")
"""What programs call a learning rate that they hand over by its place."""
_FITTING = re.compile(r"([A-Za-z_][\w.]*)\.(?:fit|train_on_batch)\(")
"""The call that trains a compiled model; the first group is the model."""
_STEPPING = re.compile(r"([A-Za-z_][\w.]*)\.(?:step|apply_gradients|minimize|apply)\(")
"""The call that makes an optimizer step, in the words of all frameworks; the first group is the optimizer."""


def step_size(evidence: Evidence, line: Site | None) -> list[Candidate]:
    """Return what decides how large steps are: data that no one scaled, the learning rate, the optimizer.

    Args:
        evidence: what is known of the run.
        line: the line that made the optimizer.

    """
    if line is None:
        return unscaled(evidence)
    rate = _rate_line(evidence, line) or _configured_rate(evidence, line)
    lines = [Candidate(rate, "step", "sets the learning rate")] if rate is not None else []
    return [*unscaled(evidence), *lines, Candidate(line, "step", "the step size")]


def _rate_line(evidence: Evidence, line: Site) -> Site | None:
    """Return the line that gives a number to the name which the optimizer takes as its learning rate."""
    made = next((one for one in optimizers(evidence) if one.site == line), None)
    frames = [*reversed(made.callers), line] if made is not None else [line]
    for call in _calls_on(evidence, line):
        given = [one.value for one in call.keywords if one.arg in _RATES] or call.args
        for value in given:
            word = ast.unparse(value).rpartition(".")[2].lower()
            if isinstance(value, ast.Name | ast.Attribute) and (word in _NAMES or given is not call.args):
                found = evidence.provenance.arguments.settled(value, frames)
                number = found[1] if found is not None else None
                if isinstance(number, ast.Constant) and isinstance(number.value, int | float):
                    return found[0] if found is not None else None
    return None


def _configured_rate(evidence: Evidence, line: Site) -> Site | None:
    """Return the one line of the program that writes the optimizer's learning rate into a configuration."""
    rates = {
        one.attributes["lr"] for one in optimizers(evidence) if isinstance(one.attributes["lr"], int | float)
    }
    asked = set() if rates else _fields_given(evidence, line)
    found = [
        Site(file=file, line=value.lineno)
        for file in dict.fromkeys((line.file, *(one.file for one in evidence.run.store.of_kind(Source))))
        for name, value in settings(evidence.source.tree(file))
        if name.lower() in _NAMES and isinstance(value, ast.Constant) and type(value.value) in (int, float)
        and (value.value in rates if rates else name in asked) and not _is_argument(evidence, file, value)
    ]  # fmt: skip
    return found[0] if len(found) == 1 and found[0].line != line.line else None


def _fields_given(evidence: Evidence, line: Site) -> set[str]:
    """Return the fields of configurations (``FLAGS.lr``, ``cfg["lr"]``) that the calls on a line are given."""
    given = [
        value for one in _calls_on(evidence, line)
        for value in (*one.args, *(keyword.value for keyword in one.keywords))
    ]  # fmt: skip
    keys = [value.slice for value in given if isinstance(value, ast.Subscript)]
    keys += [
        value.args[0]
        for value in given
        if isinstance(value, ast.Call) and called(value) == "get" and value.args
    ]
    named = {str(key.value) for key in keys if isinstance(key, ast.Constant)}
    return named | {value.attr for value in given if isinstance(value, ast.Attribute)}


def _calls_on(evidence: Evidence, line: Site) -> list[ast.Call]:
    """Return the calls whose text is on a line, too."""
    tree = evidence.source.tree(line.file)
    calls = (one for one in ast.walk(tree) if isinstance(one, ast.Call)) if tree is not None else ()
    return [one for one in calls if covers(one, line.line)]


def _is_argument(evidence: Evidence, file: str, value: ast.expr) -> bool:
    """Whether a value is a keyword of a call that makes no configuration: it may never have run."""
    tree = evidence.source.tree(file)
    calls = [one for one in ast.walk(tree) if isinstance(one, ast.Call)] if tree is not None else []
    around = next((one for one in calls if any(keyword.value is value for keyword in one.keywords)), None)
    name = called(around) if around is not None else ""
    return name[:1].islower() and name not in ("dict", "add_argument")


def optimizer_line(evidence: Evidence, step: int) -> Site | None:
    """Return the line that made the optimizer: its assignment in the source, else where it steps."""
    for node in evidence.last_of_phase("optimizer", step):
        made = _made(evidence, node)
        if made is not None:
            return made
        if node.site is None:
            continue
        called = _STEPPING.search(evidence.source.line(node.site))
        compiled = compile_line(evidence, node.site)
        if compiled is not None:
            return compiled
        if called is None:
            return node.site
        assigned = evidence.source.assignment(called[1], node.site)
        frames = [*reversed(node.callers), node.site]
        passed = called[1].isidentifier() and assigned is None
        born = evidence.provenance.arguments.born(ast.Name(called[1]), frames) if passed else None
        return assigned or born or node.site
    return None


def _made(evidence: Evidence, step: Node) -> Site | None:
    """Return the line that made the optimizer which `step` is of, where it was seen: the only one, or the one
    that has a parameter which `step` changes.
    """
    known = [one for one in optimizers(evidence) if one.site is not None]
    changed = {step.inputs[i].name for i in step.mutates if i < len(step.inputs)} - {""}
    having = [one for one in known if changed & set(one.attributes.get("parameters", ()))]
    lines = {one.site for one in (having or known)}
    alone = having or len(optimizers(evidence)) == len(known)
    return next(iter(lines)) if alone and len(lines) == 1 else None


def compile_line(evidence: Evidence, site: Site | None) -> Site | None:
    """Return the line that compiled the model which the line at `site` fits, with its loss and optimizer."""
    fitting = _FITTING.search(evidence.source.line(site)) if site is not None else None
    if fitting is None or site is None:
        return None
    told = compiled_at(evidence)
    if told is None:
        return evidence.source.method_call(fitting[1], "compile", site)
    name = evidence.source.called(told).rpartition(".")[0]
    return evidence.source.method_call(name, "compile", told) or told


def asks_for_a_step(evidence: Evidence, node: Node) -> bool:
    """Whether the user's line of a node only asks an optimizer for its step."""
    line = evidence.source.line(node.site)
    return ".minimize(" in line or _STEPPING.search(line) is not None or _FITTING.search(line) is not None
