"""Scales: data that layers take as whole numbers up to 255, which no one has scaled."""

from __future__ import annotations

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.model.event import Node
from graphdebug.model.finding import Candidate

__all__ = ["unscaled"]

_LAYERS = ("linear", "matmul", "conv")
_CARRYING = ("reshape", "permute", "copy", "cast", "index", "split", "cat")
_BYTES = ("uint8", "int8")
_LOOKED_AT = 3000
"""Nodes from the start among which the first layers are looked for."""


def unscaled(evidence: Evidence) -> list[Candidate]:
    """Return the line that makes numbers up to 255 out of bytes, where a layer takes them as they are."""
    steps = evidence.steps
    for node in evidence.run.step(steps[0]).nodes[:_LOOKED_AT] if steps else ():
        if node.family not in _LAYERS or node.phase != "forward":
            continue
        data = next((one for one in node.inputs if evidence.provenance.stored(one) is None), None)
        made = evidence.provenance.node(data.producer) if data is not None else None
        for _ in range(12):
            if made is None or made.family not in _CARRYING or not made.inputs:
                break
            source = made.inputs[0]
            before = evidence.provenance.node(source.producer)
            if made.family == "cast" and (source.fact.dtype in _BYTES or (before and _of_bytes(before))):
                return made_by(made, "takes bytes as they are, up to 255")
            made = before
        return []
    return []


def _of_bytes(node: Node) -> bool:
    """Whether a node makes whole numbers with the range of a byte."""
    whole = bool(node.outputs) and node.outputs[0].dtype.startswith(("int", "uint"))
    return whole and node.attributes.get("high") in (255, 256)
