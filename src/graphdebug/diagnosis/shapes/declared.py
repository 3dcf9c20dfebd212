"""Declared: what the layer of a meeting is called, the width it takes, and the line that declared it."""

from __future__ import annotations

from graphdebug.diagnosis.account import named_layer, sized_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.meetings import Meeting
from graphdebug.model.event import Declaration, Failure, Node, Operand
from graphdebug.model.finding import Candidate

__all__ = ["declared_lines", "layer_name", "taken", "unit", "weight_of"]

_TAKES = ("in_features", "in_channels", "num_features", "input_size", "input_dim", "embed_dim", "axes")


def taken(declaration: Declaration) -> int | None:
    """Return the width that a layer was declared to take."""
    return next((v for key in _TAKES if isinstance(v := declaration.attributes.get(key), int)), None)


def weight_of(node: Node) -> Operand | None:
    """Return the weight that a layer's node takes."""
    if node.family not in ("linear", "matmul", "conv", "norm"):
        return None
    weights = [one for one in node.inputs if one.origin in ("parameter", "variable") or one.role == "weight"]
    return next((one for one in weights if one.role == "weight"), weights[0] if weights else None)


def unit(failure: Failure) -> str:
    """Return what a width of the failing layer counts."""
    return "channels" if failure.family in ("conv", "norm") else "features"


def _named(evidence: Evidence, failure: Failure, met: Meeting) -> str:
    weight = evidence.provenance.stored(met.weight) or met.weight
    return evidence.provenance.own_name(weight, failure.frames, failure.function)


def layer_name(evidence: Evidence, failure: Failure, met: Meeting) -> str:
    """Return what to call the failing layer."""
    return (
        named_layer(evidence, failure.module)
        or met.weight.name.rpartition(".")[0]
        or _named(evidence, failure, met)
        or f"the {failure.function}"
    )


def declared_lines(evidence: Evidence, met: Meeting, failure: Failure, why: str = "") -> list[Candidate]:
    """Return the lines that declared the width the failing layer takes."""
    stored = evidence.provenance.stored(met.weight) or met.weight
    found = evidence.provenance.declaration(stored) or evidence.provenance.declared(failure.module)
    layer = evidence.provenance.declared(failure.module) if failure.module else None
    if layer is not None and layer.site is not None and taken(layer) == met.takes and found is not layer:
        found = layer if found is None or taken(found) != met.takes else found
    site = found.site if found is not None and found.site is not None else evidence.provenance.site(met.weight)
    site = site or evidence.provenance.arguments.made_at(met.weight, failure.frames, failure.function)
    if site is None:
        return []
    words = why or f"declared for {met.takes} {unit(failure)}"
    if found is not None and found.site is not None:
        return sized_by(evidence, found, met.takes, f"{layer_name(evidence, failure, met)} {words}")
    return [Candidate(site, "declaration", f"{layer_name(evidence, failure, met)} {words}", met.weight.name)]
