"""Pairs: predictions that meet targets of other samples, because only one side was put into another order."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.numbers.orders import shuffled_alone
from graphdebug.diagnosis.shapes.sampling import lookups
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["PairWatch"]

_TIMES = 2
"""Times that a line must compare unlike orders, from the first on."""


class PairWatch:
    """Looks at losses on labels: whether both sides went through the same random orders of all data.

    Rows that were drawn for a batch (``x[rows]``) are no order of all data. Where some loss of the program
    takes targets in that order (mixed samples, negative pairs), both are meant.
    """

    families = ("loss",)

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._times: dict[Site, int] = {}
        self._unlike: dict[Site, list[tuple[Node, Node, Operand, Operand]]] = {}
        self._first: tuple[Node, Operand] | None = None
        """The first loss, with its labels."""
        self._orders: set[int] = set()
        """Random orders that targets went through."""

    def see(self, node: Node) -> None:
        """Look at one loss, the first times it is computed."""
        if node.phase != "forward" or node.site is None or len(node.inputs) < 2:
            return
        times = self._times[node.site] = self._times.get(node.site, 0) + 1
        labels = next((one for one in node.inputs if one.role in ("labels", "target")), None)
        if times > _TIMES or labels is None or not labels.fact.shape or node.inputs[0] is labels:
            return
        taken, data = lookups(self._evidence, labels)
        self._first = self._first or (node, labels)
        orders = self._random(taken)
        self._orders |= orders.keys()
        guessed, _ = lookups(self._evidence, node.inputs[0])
        alone = [one for seq, one in self._random(guessed).items() if seq not in orders]
        if alone and (data.fact.shape or (0,))[0] == _rows(alone[0]):
            self._unlike.setdefault(node.site, []).append((node, alone[0], labels, data))

    def _random(self, taken: Sequence[Node]) -> dict[int, Node]:
        """Return the lookups that put all rows of their data into a random order, by the node that drew it."""
        found: dict[int, Node] = {}
        for node in taken:
            index = next(one for one in node.inputs if one.role == "index")
            drawn = self._evidence.provenance.node(index.producer)
            if drawn is not None and drawn.function == "randperm" and index.fact.shape == (_rows(node),):
                found[drawn.seq] = node
        return found

    def findings(self) -> Sequence[Finding]:
        """Return the losses whose two sides are in unlike orders each time."""
        found = [
            many[0] for site, many in self._unlike.items() if len(many) == min(self._times[site], _TIMES)
        ]  # fmt: skip
        told = [self._finding(*one) for one in found if not self._of_targets(one[1])][:2]
        return told or self._before_tensors()

    def _before_tensors(self) -> list[Finding]:
        """The arrays that the tensors were made of were put into an order, and their labels not."""
        loss, labels = self._first if self._first is not None else (None, None)
        root, links = self._evidence.provenance.way(labels) if labels is not None else (None, [])
        made = self._evidence.provenance.node(root.producer) if root is not None else None
        made = made or (links[0][0] if links else None)
        site = made.site if made is not None and made.function == "constant" else None
        lines = shuffled_alone(self._evidence, site) if site is not None else []
        if not lines or loss is None:
            return []
        return [
            self._evidence.finding(
                "misaligned_rows", what="predictions meet the targets of other samples",
                candidates=[*lines, *made_by(loss, f"the {loss.function}")], confidence=0.75, failed=loss.site,
                when=f"{loss.phase}, step {loss.step}; nothing failed",
                body=[f"  the program {lines[0].why}: the order is used for nothing else"],
                tries=["put both into the same order: x[order], y[order]"], evidence=(loss.seq,),
            )
        ]  # fmt: skip

    def _of_targets(self, lookup: Node) -> bool:
        index = next(one for one in lookup.inputs if one.role == "index")
        return index.producer in self._orders

    def _finding(self, loss: Node, lookup: Node, labels: Operand, data: Operand) -> Finding:
        provenance = self._evidence.provenance
        sample = provenance.sample(labels)
        made = provenance.node(sample.producer)
        written = made is not None and made.function in ("slice", "split", "narrow") and sample is labels
        taken = made_by(made, "takes the targets in the old order") if written and made is not None else []
        lines: list[Candidate] = [*taken, *made_by(lookup, "puts one side into a random order")]
        name = f" {data.name}" if data.name else ""
        return self._evidence.finding(
            "misaligned_rows", what="predictions meet the targets of other samples",
            candidates=[*lines, *made_by(loss, f"the {loss.function}")], confidence=0.8, failed=loss.site,
            when=f"{loss.phase}, step {loss.step}; nothing failed",
            body=[f"  the inputs went through a random order of all {_rows(lookup)} rows, {place(lookup.site)}",
                  f"  the targets{name} {shape_words(data.fact.shape)} did not: they kept their order"],
            tries=["put both into the same order: x[order], y[order]"],
            operands=loss.inputs[:2], evidence=(loss.seq, lookup.seq),
        )  # fmt: skip


def _rows(lookup: Node) -> int | None:
    """Return how many rows the data has that a lookup takes rows of."""
    return (lookup.inputs[0].fact.shape or (None,))[0]
