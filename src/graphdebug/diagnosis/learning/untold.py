"""Untold: layers that do otherwise in training, trained around without ever being told that it is training."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS
from graphdebug.model.event import Declaration, Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["untold"]

_LOOKED_AT = 32
"""Steps that are looked at."""
_MOVING = ("moving_mean", "moving_variance")
_BROUGHT = re.compile(
    r"load_weights|load_model|set_weights|\.restore\(|from_pretrained|applications|\bweights=[\"']"
)
"""What brings weights that were trained elsewhere: their statistics and units are to be kept as they are."""
_RUNS = re.compile(r"\.(?:fit|train_on_batch|evaluate|predict)\(")
"""The calls of a library's own training, which tells the layers by itself."""
_CALLS = ("call", "__call__")


def untold(evidence: Evidence) -> Sequence[Finding]:
    """Return the finding for batch norms whose statistics no step of training changed, or dropouts that dropped
    nothing in any: of weights that began in this program, with nothing random in its steps.
    """
    declared = list(evidence.provenance.declarations())
    norms = [one for one in declared if one.type == "BatchNormalization"]
    drops = [one for one in declared if one.type.endswith("Dropout") and _rate(one) > 0]
    if not (norms or drops) or not _whole(evidence) or _brought(evidence):
        return []
    steps = [step for step in evidence.steps[1 : _LOOKED_AT + 1] if _trains(evidence, step)]
    if len(steps) < LEAST_STEPS:
        return []
    reading: Node | None = None
    for node in (one for step in steps for one in evidence.run.step(step).nodes):
        if _told(node):
            return []
        if reading is None and node.phase == "forward" and any(o.name.endswith(_MOVING) for o in node.inputs):
            reading = node
    scaled = any(one.name.endswith("gamma") for one in evidence.run.step(steps[-1]).gradients)
    if norms and (reading is None or not scaled):
        return []
    layers = norms or drops
    line = _line(evidence, reading or _first_of_layer(evidence, steps[0]))
    if line is None:
        return []
    what = "batch norm took its first statistics, which no step changed" if norms else "dropout let all pass"
    body = [f"  {layers[0].name}: in {len(steps)} steps of training {what}"]
    return [evidence.finding(
        "wrong_mode", what="layers are trained around that were not told that it is training",
        candidates=[Candidate(line, "caller", "does not say training=True"),
                    *(Candidate(one.site, "declaration", f"declares {one.name}", one.name)
                      for one in layers[:1] if one.site is not None)],
        confidence=0.7, when="nothing failed", body=body, tries=["call the model with training=True there"],
    )]  # fmt: skip


def _rate(one: Declaration) -> float:
    rate = one.attributes.get("rate")
    return float(rate) if isinstance(rate, int | float) else 0.0


def _whole(evidence: Evidence) -> bool:
    """Whether all nodes were recorded: else nothing can be said of what is missing."""
    options = evidence.run.start.options if evidence.run.start is not None else {}
    return options.get("every", 1) == 1 and not any(options.get(one) for one in ("modules", "ops", "phases"))


def _brought(evidence: Evidence) -> bool:
    """Whether a line of the program brings weights from elsewhere."""
    return any(
        _BROUGHT.search(line) for file in evidence.run.source_files for line in evidence.run.source_lines(file)
    )


def _trains(evidence: Evidence, step: int) -> bool:
    return any(one.phase == "optimizer" and one.mutates for one in evidence.run.step(step).nodes)


def _told(node: Node) -> bool:
    """Whether a node shows that some layer knew of the training: it drew numbers, or changed statistics."""
    if node.family in ("random", "dropout"):
        return node.function != "shuffle"
    written = (node.inputs[at].name for at in node.mutates if at < len(node.inputs))
    return any(name.endswith(_MOVING) for name in written)


def _first_of_layer(evidence: Evidence, step: int) -> Node | None:
    nodes = (one for one in evidence.run.step(step).nodes if one.phase == "forward" and one.site is not None)
    return next((one for one in nodes if any(o.origin == "variable" for o in one.inputs)), None)


def _line(evidence: Evidence, node: Node | None) -> Site | None:
    """Return the line that says the layers are not in training, or calls the model without saying that they
    are.
    """
    if node is None or node.site is None:
        return None
    frames = [node.site, *node.callers]
    said = (one for one in frames if re.search(r"training\s*=\s*False", evidence.source.line(one)))
    explicit = next((one for one in said if "def " not in evidence.source.line(one)), None)
    if explicit is not None:
        return explicit
    outside = next((one for one in frames if one.function.rpartition(".")[2] not in _CALLS), None)
    outside = outside or _taken_at(evidence, node)
    return None if outside is None or _RUNS.search(evidence.source.line(outside)) else outside


def _taken_at(evidence: Evidence, node: Node) -> Site | None:
    """Return the line that called a model in whose own call `node` ran: the one that takes what it gave."""
    nodes = (one for one in evidence.run.step(node.step).nodes if one.seq > node.seq and one.site is not None)
    after = (one.site for one in nodes if one.site and one.site.function.rpartition(".")[2] not in _CALLS)
    site = next(after, None)
    for name in evidence.source.names(site) if site is not None else ():
        made, value = evidence.source.assigned(name, site) if site is not None else (None, None)
        called = made is not None and isinstance(value, ast.Call) and site is not None
        if called and made and site and evidence.source.block(made) == evidence.source.block(site) is not None:
            return made
    return site
