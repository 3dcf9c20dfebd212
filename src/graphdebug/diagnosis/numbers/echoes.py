"""Echoes: a network that is asked, place by place, for the very tokens it was given."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Node, Operand, Shape, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["EchoWatch", "same"]

_PASSING = ("reshape", "copy", "cast")
_LAYERS = 8
"""Recurrent layers that scores are followed back through, to the layer that looked the tokens up."""
_DEEPEST = 6
_COMPARED = 4
"""Inputs of a join that are compared."""
_COUNTED = (2, 6)
"""Times a line must ask for the same, and times it is looked at."""


class EchoWatch:
    """Looks at losses over tokens: their targets against what a layer of the network looked up.

    A network that carries each place to the place of its target only has to copy it. One that squeezes the
    tokens into fewer places before (an autoencoder), or whose input was masked, has to learn something.
    """

    families = ("loss", "index")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._looked_up: list[Node] = []
        """Lookups of tokens in weights in the running step."""
        self._seen: dict[Site, list[tuple[Node, Node]]] = {}
        self._times: dict[Site, int] = {}

    def see(self, node: Node) -> None:
        """Look at one node."""
        if node.phase != "forward" or node.site is None:
            return
        if node.family == "index":
            table = next((one for one in node.inputs if one.role != "index"), None)
            tokens = _index(node)
            if tokens is not None and table is not None and self._evidence.provenance.stored(table) is not None:
                self._looked_up = [*(one for one in self._looked_up[-8:] if one.step == node.step), node]
            return
        times = self._times[node.site] = self._times.get(node.site, 0) + 1
        labels = next((one for one in node.inputs if one.role in ("labels", "target")), None)
        if times > _COUNTED[1] or labels is None or "int" not in labels.fact.dtype or not node.inputs:
            return
        for lookup in self._looked_up:
            tokens = _index(lookup)
            places = _count(tokens.fact.shape) if tokens is not None and lookup.step == node.step else 0
            if tokens is None or places < 2 or len(tokens.fact.shape or ()) < 2:
                continue
            alike = places == _count(labels.fact.shape) and same(self._evidence, tokens, labels)
            if alike and self._reaches(node.inputs[0], lookup, places):
                self._seen.setdefault(node.site, []).append((node, lookup))

    def findings(self) -> Sequence[Finding]:
        """Return the losses that always asked for the network's own input."""
        found = [
            pairs[0] for site, pairs in self._seen.items()
            if len(pairs) >= _COUNTED[0] and len(pairs) == min(self._times[site], _COUNTED[1])
        ]  # fmt: skip
        return [self._finding(*one) for one in found[:2]]

    def _reaches(self, scores: Operand, lookup: Node, places: int) -> bool:
        """Whether scores come from a lookup, with as many places all the way."""
        for _ in range(_LAYERS):
            root, links = self._evidence.provenance.way(scores)
            before = None
            for node, _ in reversed(links):
                if not node.outputs or _count((node.outputs[0].shape or ())[:-1]) < places:
                    return False
                before = self._before_layer(node)
                if before is not None:
                    break
            if before is None:
                return root.producer == lookup.seq
            scores = before
        return False

    def _before_layer(self, node: Node) -> Operand | None:
        """Return what a recurrent layer was given, of which `node` ran: it goes from place to place itself."""
        declared = self._evidence.provenance.declared(node.module) if node.module else None
        if declared is None or not {"batch_first", "hidden_size"} <= declared.attributes.keys():
            return None
        own = [
            one for one in self._evidence.run.step(node.step).nodes
            if one.module == node.module and one.phase == "forward" and one.seq <= node.seq
        ]  # fmt: skip
        seqs, rank = {one.seq for one in own}, len(node.outputs[0].shape or ())
        came = (it for one in reversed(own) for it in one.inputs if it.origin == "node" and it.producer)
        return next((it for it in came if it.producer not in seqs and len(it.fact.shape or ()) == rank), None)

    def _finding(self, node: Node, lookup: Node) -> Finding:
        provenance = self._evidence.provenance
        labels = next(one for one in node.inputs if one.role in ("labels", "target"))
        asked, given = self._plain(labels), self._plain(_index(lookup) or labels)
        one_tensor = asked.producer is not None and asked.producer == given.producer
        site = provenance.site(provenance.sample(asked)) if not one_tensor else None
        lines = [Candidate(site, "input", "makes the targets", asked.name)] if site is not None else []
        return self._evidence.finding(
            "echoed_input", what="the targets are the very tokens that the network was given",
            candidates=[*lines, *made_by(node, f"the {node.function}"), *made_by(lookup, "looks them up")],
            confidence=0.75, failed=node.site, when=f"{node.phase}, step {node.step}; nothing failed",
            body=[f"  the targets are what {lookup.function}, {place(lookup.site)}, looked up, place by place",
                  "  each place has only to be copied: the loss goes to 0, and nothing is learnt"],
            tries=["targets shifted by one: ids[:, 1:] for what was given ids[:, :-1]"],
            operands=(labels,), evidence=(node.seq, lookup.seq),
        )  # fmt: skip

    def _plain(self, operand: Operand) -> Operand:
        return _plain(self._evidence, operand)


def same(evidence: Evidence, one: Operand, other: Operand, depth: int = _DEEPEST) -> bool:
    """Whether two operands hold the same values: one tensor, or the same taken of the same."""
    one, other = _plain(evidence, one), _plain(evidence, other)
    if one.producer is None or other.producer is None:
        return False
    if one.producer == other.producer:
        return one.output == other.output
    a, b = evidence.provenance.node(one.producer), evidence.provenance.node(other.producer)
    if a is None or b is None or depth <= 0 or a.mutates or b.mutates or not a.inputs:
        return False
    alike = (a.function, a.attributes, len(a.inputs)) == (b.function, b.attributes, len(b.inputs))
    taken = a.family in ("index", "split", "permute") or a.function == "stack"
    pairs = list(zip(a.inputs, b.inputs, strict=False))[:_COMPARED]
    return alike and taken and all(same(evidence, x, y, depth - 1) for x, y in pairs)


def _plain(evidence: Evidence, operand: Operand) -> Operand:
    """Return what `operand` was before reshapes, casts and copies."""
    for _ in range(8):
        node = evidence.provenance.node(operand.producer)
        if node is None or node.family not in _PASSING or not node.inputs or node.mutates:
            break
        if node.inputs[0].producer is None:
            break
        operand = node.inputs[0]
    return operand


def _index(node: Node) -> Operand | None:
    return next((one for one in node.inputs if one.role == "index"), None)


def _count(shape: Shape | None) -> int:
    return prod(size or 0 for size in shape) if shape is not None else 0
