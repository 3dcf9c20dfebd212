"""Loading: samples that a dataset promised and has not, or gave in a form that a loader can't join."""

from __future__ import annotations

import ast

from graphdebug.diagnosis import loops
from graphdebug.diagnosis.account import Account
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused.told import told
from graphdebug.diagnosis.words import telling
from graphdebug.model.event import Failure, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain", "promised"]


def explain(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for samples that a loader could not join, for another reason than their shapes."""
    if not failure.detail.get("collated") or failure.site is None:
        return None
    loader = loops.loader(evidence.source, failure.site)
    dataset = _dataset(evidence, failure.site, loader)
    gives = _returns(dataset, "__getitem__") if dataset is not None else None
    lines = [Candidate(Site(failure.site.file, gives), "origin", "gives the samples")] if gives else []
    lines += [Candidate(loader, "declaration", "makes the loader, which joins them")] if loader else []
    tries = ["let each sample be tensors or numbers", "give the loader a collate_fn"]
    account = Account(lines, telling(failure.message), tries, confidence=0.7 if gives else 0.5)
    what = "a loader can't join the samples to a batch"
    return told(evidence, failure, "wrong_argument", what, account, "asks for a batch")


def promised(evidence: Evidence, failure: Failure) -> list[Candidate]:
    """Return the line that says how many samples a dataset has, where one of them reaches beyond its data."""
    value, high = failure.detail.get("value"), failure.detail.get("high")
    if (
        failure.site is None
        or not failure.site.function.endswith("__getitem__")
        or value is None
        or value != high
    ):
        return []
    tree = evidence.source.tree(failure.site.file)
    for node in ast.walk(tree) if tree is not None else ():
        inside = isinstance(node, ast.ClassDef) and node.lineno <= failure.site.line <= (node.end_lineno or 0)
        line = _returns(node, "__len__") if inside and isinstance(node, ast.ClassDef) else None
        if line is not None:
            return [Candidate(Site(failure.site.file, line), "declaration", "says how many samples there are")]
    return []


def _dataset(evidence: Evidence, site: Site, loader: Site | None) -> ast.ClassDef | None:
    """Return the class of the dataset that a loader, made at `loader` or in the loop itself, goes over."""
    tree = evidence.source.tree(site.file)
    classes = (
        {one.name: one for one in ast.walk(tree) if isinstance(one, ast.ClassDef)} if tree is not None else {}
    )
    names = [name for where in (loader, site) if where is not None for name in evidence.source.names(where)]
    for name in names:
        if name in classes and _returns(classes[name], "__getitem__"):
            return classes[name]
        made = evidence.source.assigned(name, site)[1]
        called = ast.unparse(made.func) if isinstance(made, ast.Call) else ""
        if called in classes and _returns(classes[called], "__getitem__"):
            return classes[called]
    return None


def _returns(owner: ast.ClassDef, method: str) -> int | None:
    """Return the line of the last return in a method of a class."""
    methods = [one for one in owner.body if isinstance(one, ast.FunctionDef) and one.name == method]
    lines = [one.lineno for each in methods for one in ast.walk(each) if isinstance(one, ast.Return)]
    return max(lines, default=None)
