"""Sums: gradients that a program adds up by itself, takes a step with, and never begins anew."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Node, Operand
from graphdebug.model.finding import Finding

__all__ = ["SumWatch"]

_SCALING = ("mul", "div", "identity", "cast")
"""What a sum goes through on its way to the weights as it is: a square root would make it a measure of size."""
_MOST = 20_000


class SumWatch:
    """Follows gradients that are added up, in variables of the program's own or from tensor to tensor.

    A sum that an optimizer took, and that goes on growing and is taken again, holds the gradients of all steps
    before. A variable that anything else writes to is begun anew there; a sum that fades on its way (a product
    with less than 1) is a momentum.
    """

    families = ("assign", "elementwise", "copy", "cast", "fill", "index")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        options = evidence.run.start.options if evidence.run.start is not None else {}
        seen = ("modules", "ops", "phases", "keep_last")
        self._whole = options.get("every", 1) == 1 and not any(options.get(one) for one in seen)
        """Whether all nodes were recorded: else nothing can be said of what is missing."""
        self._adding: dict[str, Node] = {}
        """Variables that gradients were added to, with what did so last."""
        self._begun: set[str] = set()
        """Variables that were written otherwise, too."""
        self._of: dict[int, str] = {}
        """What was computed of a sum by scaling alone, by the node that did."""
        self._sums: set[int | None] = set()
        """Nodes that added gradients up."""
        self._given: set[int | None] = set()
        """Sums that an optimizer took."""
        self._old: set[int | None] = set()
        """Sums to which more was added after an optimizer had taken them."""
        self._taken: dict[str, dict[int, Node]] = {}
        """By the variable, or by the line that adds up: what took a sum, by the step."""
        self._added: dict[str, Node] = {}

    def see(self, node: Node) -> None:
        """Look at one node."""
        if not self._whole:
            return
        if node.mutates:
            self._written(node)
        elif node.function in _SCALING or node.function == "add":
            self._computed(node)

    def _written(self, node: Node) -> None:
        target = node.inputs[node.mutates[0]] if node.mutates[0] < len(node.inputs) else None
        if target is None or not target.name:
            return
        for one in node.inputs:
            if one is not target and node.phase == "optimizer":
                self._takes(one, target, node)
        if node.function != "assign_add":
            self._begun.add(target.name)
        elif self._is_gradient(node.inputs[-1]) and self._own(target):
            self._adding[target.name] = node

    def _computed(self, node: Node) -> None:
        """A node that scales a sum, or adds to it."""
        if len(self._of) + len(self._sums) > _MOST:
            for each in (self._of, self._sums, self._given, self._old):
                each.clear()
        if node.function == "add":
            self._added_up(node)
            return
        names = [self._name(one) for one in node.inputs]
        known = next((name for name in names if name), "")
        scaled = all(name or one.fact.shape == () for name, one in zip(names, node.inputs, strict=True))
        if known and scaled and (node.function != "div" or names[0]):
            self._of[node.seq] = known
        before = {one.producer for one in node.inputs} & self._sums
        if node.phase == "optimizer":
            self._given |= before
            for one in before & self._old:
                self._note(self._line(one), node)
        elif before and node.function in ("identity", "cast"):
            self._sums.add(node.seq)

    def _added_up(self, node: Node) -> None:
        """A sum of gradients, or of such a sum and another one."""
        shapes = [one.fact.shape for one in node.inputs]
        if node.phase != "forward" or len(shapes) != 2 or shapes[0] != shapes[1]:
            return
        if sum(self._adds_up(one) for one in node.inputs) < 2:
            return
        self._sums.add(node.seq)
        if any(one.producer in self._given or one.producer in self._old for one in node.inputs):
            self._old.add(node.seq)
            self._added[self._line(node.seq)] = node

    def _line(self, seq: int | None) -> str:
        node = self._evidence.provenance.node(seq)
        return place(node.site) if node is not None and node.site is not None else ""

    def _adds_up(self, operand: Operand) -> bool:
        """Whether an operand is a gradient, or a sum of some."""
        if operand.producer in self._sums:
            return True
        node = self._evidence.provenance.node(operand.producer)
        if node is None or node.phase != "backward":
            return False
        self._sums.add(node.seq)
        return True

    def _takes(self, operand: Operand, target: Operand, node: Node) -> None:
        """An optimizer changes `target` by what was made of `operand`."""
        name = self._name(operand)
        if name and target.name != name and target.name not in self._adding:
            self._note(name, node)

    def _note(self, name: str, node: Node) -> None:
        if name:
            self._taken.setdefault(name, {})[node.step] = node

    def _name(self, operand: Operand) -> str:
        """Return the variable, a sum, that an operand is or was scaled from."""
        if operand.name in self._adding and operand.origin == "variable":
            return operand.name
        return self._of.get(operand.producer, "") if operand.producer is not None else ""

    def _is_gradient(self, operand: Operand) -> bool:
        """Whether an operand is a gradient, or a share of one."""
        node = self._evidence.provenance.node(operand.producer)
        for _ in range(3):
            if node is None or node.phase == "backward":
                break
            if node.function not in _SCALING or not all(one.fact.shape == () for one in node.inputs[1:]):
                return False
            node = self._evidence.provenance.node(node.inputs[0].producer) if node.inputs else None
        return node is not None and node.phase == "backward"

    def _own(self, operand: Operand) -> bool:
        """Whether the program itself made the variable, and trains it not."""
        declared = self._evidence.provenance.declared(operand.name)
        return declared is not None and declared.type == "Variable" and "layer" not in declared.attributes

    def findings(self) -> Sequence[Finding]:
        """Return the finding for sums that are never begun anew."""
        for name, steps in self._taken.items():
            if name in self._begun or len(steps) < LEAST_STEPS:
                continue
            taking, adding = next(reversed(steps.values())), self._adding.get(name) or self._added.get(name)
            if adding is None:
                continue
            declared = self._evidence.provenance.declared(name)
            named = self._evidence.provenance.given_name(declared) if declared is not None else ""
            return [self._evidence.finding(
                "uncleared_gradient", what="gradients are added up and never begun anew",
                candidates=[*made_by(taking, "takes a step with the sum"), *made_by(adding, "adds to it")],
                confidence=0.85, when="nothing failed",
                body=[f"  {named or 'the sum'}: {len(steps)} steps took it, and nothing set it back in between",
                      "  so each step goes by the gradients of all steps before it, too"],
                tries=["set the sum to zero after each step that was taken with it"],
                evidence=(taking.seq, adding.seq),
            )]  # fmt: skip
        return []
