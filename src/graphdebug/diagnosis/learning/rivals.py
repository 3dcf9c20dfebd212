"""Rivals: two optimizers that train the same variables, while others that a loss comes through have none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS, declared_by, some
from graphdebug.model.event import Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["rivals"]

_SEARCHED = 60
"""Steps at the start of a run that are looked at."""
_LAYERS = ("linear", "matmul", "conv")


def rivals(evidence: Evidence) -> Iterator[Finding]:
    """Yield the finding for an optimizer that was given another network's variables instead of its own.

    One network makes what the other judges, as in a GAN: the trained variables also take data that did not go
    through those that no optimizer changes, so these are no frozen base of theirs.
    """
    trained: dict[Site, set[str]] = {}
    steps: dict[Site, int] = {}
    for step in evidence.steps[:_SEARCHED]:
        changed: dict[Site, set[str]] = {}
        for node in evidence.run.step(step).nodes:
            if node.phase == "optimizer" and node.site is not None and node.mutates and node.inputs:
                changed.setdefault(node.site, set()).add(node.inputs[0].name)
        for site, names in changed.items():
            trained.setdefault(site, set()).update(names)
            steps[site] = steps.get(site, 0) + 1
    variables = {
        one.name for one in evidence.provenance.declarations()
        if one.type == "Variable" and one.attributes.get("trainable") is True
    }  # fmt: skip
    known = {site: names & variables for site, names in trained.items() if steps[site] >= LEAST_STEPS}
    sites = [site for site, names in known.items() if names]
    left = sorted(variables - {name for names in known.values() for name in names})
    if len(sites) != 2 or known[sites[0]] != known[sites[1]] or not left:
        return
    found = _judged_apart(evidence, sites, set(left), known[sites[0]])
    if found is None:
        return
    other = next(one for one in sites if one != found)
    lines = [Candidate(found, "declaration", "trains the other network's variables"),
             Candidate(other, "declaration", "trains the same"), *declared_by(evidence, left[0])]  # fmt: skip
    yield evidence.finding(
        "untrained_parameter", what=f"no optimizer changes {some(left)}, and two change the same variables",
        candidates=lines, confidence=0.8, when="nothing failed",
        body=[f"  both train {some(sorted(known[found]))}",
              f"  the loss of one comes through {some(left[:1])}, which never changes"],
        tries=["give it the variables of its own network: var_list"],
    )  # fmt: skip


def _judged_apart(evidence: Evidence, sites: Sequence[Site], left: set[str], trained: set[str]) -> Site | None:
    """Return the optimizer in whose steps all data for the trained variables come through those left out, where
    in the other's steps some do not.
    """
    through: dict[Site, set[bool]] = {}
    for step in evidence.steps[:_SEARCHED]:
        nodes = evidence.run.step(step).nodes
        stepping = {one.site for one in nodes if one.phase == "optimizer"} & set(sites)
        if len(stepping) != 1:
            continue
        site = next(iter(stepping))
        for node in nodes:
            if (
                node.family in _LAYERS
                and node.phase == "forward"
                and site is not None
                and _takes(evidence, node, trained)
            ):
                through.setdefault(site, set()).add(_after(evidence, node, left))
    own = [site for site, ways in through.items() if ways == {True}]
    return own[0] if len(own) == 1 and len(through) == 2 else None


def _takes(evidence: Evidence, node: Node, names: set[str]) -> bool:
    stored = (evidence.provenance.stored(one) for one in node.inputs)
    return any(one is not None and one.name in names for one in stored)


def _after(evidence: Evidence, node: Node, names: set[str]) -> bool:
    """Whether what a layer takes was computed with one of the variables `names`."""
    data = next((one for one in node.inputs if evidence.provenance.stored(one) is None), None)
    links = evidence.provenance.way(data)[1] if data is not None else []
    return any(_takes(evidence, one, names) for one, _ in links)
