"""Strangers: an optimizer that holds only what the model had before its layers were replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import Track, declared_by, optimizers, some
from graphdebug.model.finding import Candidate, Finding

__all__ = ["finding", "replaced"]


def finding(evidence: Evidence, tracks: Mapping[str, Track]) -> Finding | None:
    """Return the finding for optimizers that step and change nothing: none of what they hold is in a model
    or gets a gradient, while the model's parameters get theirs.

    To be asked only where no tensor without a name got a gradient: an image may be trained like that.
    """
    made = optimizers(evidence)
    if not made or any(one.attributes.get("parameters") != [] for one in made):
        return None
    if next(evidence.last_of_phase("optimizer", evidence.steps[-1]), None) is not None:
        return None
    track = max(tracks.values(), key=lambda one: one.steps)
    nodes = evidence.run.step(track.first.step).nodes
    called = next((one.run_site for one in nodes if one.phase == "backward" and one.run_site is not None), None)
    line = evidence.source.assignment(made[-1].name, called) if called is not None else None
    if line is None:
        return None
    name = made[-1].name
    return evidence.finding(
        "untrained_parameter", what=f"{some(list(tracks))} got gradients, but no optimizer has them",
        candidates=[Candidate(line, "declaration", "holds none of them", name)], confidence=0.8,
        when="nothing failed", evidence=(track.first.seq,),
        body=[f"  none of what {name} holds belongs to the model now, gets a gradient, or is changed"],
        tries=["make the optimizer after the last change of the model's layers"],
    )  # fmt: skip


def replaced(evidence: Evidence, tracks: Mapping[str, Track], left: Sequence[str]) -> Finding | None:
    """Return the finding for layers that were replaced after the optimizer was made: it holds, beside
    parameters that it trains, tensors of the very shapes of theirs that belong to no model which ran.
    """
    shapes = sorted(list(tracks[name].first.fact.shape or ()) for name in left)
    for one in optimizers(evidence):
        strange = sorted(one.attributes.get("nameless", ()))
        if one.site is None or not strange or strange != shapes:
            continue
        lines = [Candidate(one.site, "declaration", "holds those that were replaced", one.name)]
        return evidence.finding(
            "untrained_parameter", what=f"{some(left)} got gradients, but no optimizer has them",
            candidates=[*lines, *declared_by(evidence, left[0])], confidence=0.8, when="nothing failed",
            evidence=(tracks[left[0]].first.seq,),
            body=[f"  {one.name} holds {len(strange)} tensors of their shapes that are in no model that ran"],
            tries=["make the optimizer after the last change of the model's layers"],
        )  # fmt: skip
    return None
