"""Zeros: two layers, one after the other, whose weights all began at 0, so that neither can ever learn."""

from __future__ import annotations

import re
from collections.abc import Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.instances import stack
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Declaration, Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["ZeroWatch"]

_LAYERS = ("linear", "matmul", "conv")
_ZERO = re.compile(r"zeros|(?:constant|full|fill)\w*\(.*?\b0(?:\.0*)?\b", re.IGNORECASE)
"""How a line says 0 for a first value."""
_MADE = ("fill", "copy")
"""Families that give a variable its first value."""


class ZeroWatch:
    """Looks for a layer with zero weights behind another one, in a run that trains.

    The gradient of the first layer's weights is a product with the second's weights, that of the second's a
    product with what the first gave: both are 0. A single layer of zeros (a linear regression) learns well.
    """

    families = (*_LAYERS, "assign")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._judged: set[tuple[str, str]] = set()
        self._loaded: set[str] = set()
        """Variables that were given other values than those they were declared with."""
        self._found: list[Finding] = []
        self._none = sum(_begins_at_zero(one) for one in evidence.run.declarations) < 2
        """Whether too few weights begin at 0 for one behind another."""

    def see(self, node: Node) -> None:
        """Look at one layer, once by its weight."""
        if self._none:
            return
        if node.family == "assign":
            self._assigned(node)
            return
        own = self._zero_weight(node) if node.phase == "forward" and not self._found else None
        if own is None:
            return
        provenance = self._evidence.provenance
        data = next((one for one in node.inputs if provenance.stored(one) is None), None)
        links = provenance.way(data)[1] if data is not None else []
        before = next(
            (one for link, _ in reversed(links) if (one := self._zero_weight(link)) is not None), None
        )
        nearest = next((link for link, _ in reversed(links) if link.family in _LAYERS), None)
        if before is None or nearest is None or self._zero_weight(nearest) is None:
            return
        if (before.name, own.name) not in self._judged:
            self._judged.add((before.name, own.name))
            if self._trains(node) and not {before.name, own.name} & self._loaded:
                self._report(node, before, own)

    def findings(self) -> Sequence[Finding]:
        """What was found."""
        return self._found

    def _zero_weight(self, node: Node) -> Declaration | None:
        """Return the declaration of the layer's weight, if it was declared to begin at 0."""
        provenance = self._evidence.provenance
        for one in node.inputs if node.family in _LAYERS else ():
            stored = provenance.stored(one)
            if stored is not None and len(stored.fact.shape or ()) > 1:
                declared = provenance.declared(stored.name, stored)
                zero = declared is not None and declared.attributes.get("initial") == 0
                return declared if zero and declared is not None and declared.site is not None else None
        return None

    def _trains(self, node: Node) -> bool:
        return any(one.phase in ("backward", "optimizer") for one in self._evidence.run.step(node.step).nodes)

    def _assigned(self, node: Node) -> None:
        value = self._evidence.provenance.node(node.inputs[1].producer) if len(node.inputs) > 1 else None
        if node.phase == "forward" and value is not None and value.family not in _MADE:
            self._loaded.add(node.inputs[0].name)

    def _report(self, node: Node, first: Declaration, second: Declaration) -> None:
        sites = [(self._zeroed(one), one.name) for one in (first, second)]
        self._found.append(
            self._evidence.finding(
                "zero_weights", what=f"{first.name} and {second.name} begin at 0 and can't learn",
                candidates=[Candidate(at, "declaration", f"declares {name}", name) for at, name in sites if at],
                confidence=0.7, when="nothing failed", evidence=(node.seq,), operands=node.inputs,
                body=[f"  {second.name}, {place(second.site)}, is multiplied with what {first.name} gave: 0",
                      f"  the gradient of {first.name} is multiplied with {second.name}: 0; only biases learn"],
                tries=["random initial values for the weights of hidden layers"],
            )
        )  # fmt: skip

    def _zeroed(self, declared: Declaration) -> Site | None:
        """Return the line that says that it begins at 0: a helper's own, where the helper says so for all."""
        said = (one for one in stack(declared) if _ZERO.search(self._evidence.source.line(one)))
        return next(said, declared.site)


def _begins_at_zero(declared: Declaration) -> bool:
    shapes = [fact.shape or () for fact in declared.tensors.values()]
    return declared.attributes.get("initial") == 0 and (not shapes or max(map(len, shapes)) > 1)
