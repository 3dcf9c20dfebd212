"""Updates: how large the steps of an optimizer are for the weights that they change."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from statistics import median

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS, Track, optimizers

__all__ = ["first", "ratios"]


def first(evidence: Evidence, tracks: Mapping[str, Track]) -> dict[str, float]:
    """Return how large the first steps are for the weights that they change, by matrix, where the weights'
    size before the first step is known: the largest gradient of those measured is what counts.

    The first step of Adam and its kin is about lr for each element, whatever the gradient is.
    """
    found: dict[str, float] = {}
    for made in optimizers(evidence):
        rate, rule = made.attributes.get("lr"), made.type.lower()
        for name, size in made.attributes.get("sizes", {}).items():
            track = tracks.get(name)
            if track is None or track.rank < 2 or not size or not isinstance(rate, int | float):
                continue
            if rule == "sgd" and track.norms:
                found[name] = rate * max(track.norms) / size
            elif any(word in rule for word in ("adam", "lion", "adagrad")):
                found[name] = rate * sqrt(track.elements) / size
            elif "rmsprop" in rule:
                alpha = made.attributes.get("alpha", 0.99)
                found[name] = rate * sqrt(track.elements / max(1 - alpha, 1e-6)) / size
    return found


def ratios(evidence: Evidence, tracks: Mapping[str, Track]) -> dict[str, float]:
    """Return update / weight by parameter, for matrices: as seen, or where the optimizer's rule is known.

    Plain gradient descent moves by lr * gradient; Adam and its kin by about lr an element (Kingma and
    Ba 2015, section 2.1).
    """
    kept = {name: one for name, one in tracks.items() if one.rank > 1 and len(one.norms) >= LEAST_STEPS}
    made = {name: median(one.updates) for name, one in kept.items() if len(one.updates) >= LEAST_STEPS}
    rules = [
        (name, one.type, one.attributes.get("lr"))
        for one in optimizers(evidence)
        for name in one.attributes.get("parameters", ())
    ]
    rules += [(name, one.rule, _rate(evidence, one)) for name, one in kept.items() if one.rule]
    for name, rule, rate in rules:
        track = kept.get(name)
        if track is None or not track.weights or not isinstance(rate, int | float):
            continue
        if rule.lower() == "sgd":
            pairs = zip(track.norms[::-1], track.weights[::-1], strict=False)
            made[name] = rate * median(norm / max(weight, 1e-300) for norm, weight in pairs)
        elif "adam" in rule.lower() and max(track.norms) > 0:
            made[name] = rate * sqrt(track.elements) / max(median(track.weights), 1e-300)
    return made


def _rate(evidence: Evidence, track: Track) -> float | None:
    """Return the learning rate that an op was given, if it is a constant that was looked at."""
    if track.rate is None or not evidence.steps:
        return None
    nodes = evidence.run.step(evidence.steps[-1]).nodes
    made = next((one for one in nodes if one.name == track.rate.name and one.outputs), None)
    stats = made.outputs[0].stats if made is not None else None
    return float(stats.mean) if stats is not None and stats.mean is not None else None
