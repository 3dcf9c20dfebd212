"""Strangers: an optimizer that holds only what the model had before its layers were replaced."""

from __future__ import annotations

from collections.abc import Mapping

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import Track, optimizers, some
from graphdebug.model.finding import Candidate, Finding

__all__ = ["finding"]


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
