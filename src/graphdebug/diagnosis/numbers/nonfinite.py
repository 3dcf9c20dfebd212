"""Non-finite: the node where NaN or Inf was born, told from those that pass it on or are meant to hold it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphdebug.diagnosis.numbers.causes import OVERFLOWING
from graphdebug.model.event import Gradient, Node, Operand, TensorFact
from graphdebug.model.patterns import matches

__all__ = ["Birth", "NonfiniteWatch", "has_nan", "inexact"]

_PASSING = frozenset({"reshape", "permute", "split", "copy", "control"})
_MEANT = frozenset({"fill", "where", "random", "placeholder"})
"""Families that write an infinity because the user asked for it: masks and initial values."""
_BLIND = frozenset({"check", "fill", "random"})
"""Families that take a tensor to look at it or for its shape, and give something else."""
_MOST = 20_000
"""Non-finite nodes that are remembered of one step."""


@dataclass(slots=True)
class Birth:
    """A node that gave a non-finite output of inputs that were finite, or of infinities that were meant."""

    node: Node
    meant: bool
    """Whether the value is an infinity the user asked for."""
    allowed: bool = False
    """Whether the user has said that this node may give NaN or Inf."""
    data: Operand | None = None
    """The input that was not finite to begin with (data, weights), if that is what it is."""
    hidden_by: Node | None = None
    """The first node that took the value and gave a finite one."""
    harms: set[str] = field(default_factory=set)
    """What it reached: ``end`` (a result nothing took), ``loss``, ``gradient``, ``weights``; ``value`` if a
    division by it made a plain 0 of what overflowed."""
    became_nan: Node | None = None


class NonfiniteWatch:
    """Follows non-finite values through each step, and keeps the first birth that did harm.

    Args:
        allow: patterns of nodes that may give NaN or Inf.

    """

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._allow = allow
        self.verdict: Birth | None = None
        self.skipped = 0
        """Steps whose gradients were not finite and that a loss scaler skipped."""
        self._births: list[Birth] = []
        self._bad: dict[int, list[Birth]] = {}
        self._nan: set[int] = set()
        self._open: set[int] = set()
        """Non-finite nodes that nothing has taken yet."""
        self.always_scaled = False
        """Whether an optimizer that scales the loss makes all steps, and skips those that overflow."""
        self._scaled = False
        self._sound: set[tuple[int, int]] = set()
        """Outputs that were finite though another output of their node was not: by node and place."""

    def see(self, node: Node) -> None:
        """Look at one node. The common case, all finite and nothing bad in this step, costs two lookups."""
        if self.verdict is not None:
            return
        known, sound = self._bad, self._sound
        if "scale" in node.function:
            self._scaled |= "unscale" in node.function or "update_scale" in node.function
        taken = [
            one for one in node.inputs
            if one.fact.finite is False or (one.producer in known and (one.producer, one.output) not in sound)
        ]  # fmt: skip
        made = node.outputs[:1] if node.family == "loss" else node.outputs  # the rest it keeps for backward
        if taken or any(fact.finite is False for fact in made):
            self._judge(node, taken)

    def gradient(self, gradient: Gradient) -> None:
        """A parameter's gradient that is not finite does harm."""
        if gradient.fact.finite is False and self.verdict is None:
            for birth in self._births_of_gradient(gradient):
                birth.harms.add("gradient")

    def end_step(self) -> None:
        """Weigh what was born in the step that ended."""
        if self._births and self.verdict is None:
            for seq in self._open:
                for birth in self._bad.get(seq, ()):
                    if not birth.meant or seq in self._nan:
                        birth.harms.add("end")
            suspects = [one for one in self._births if not (one.allowed or _masked(one))]
            harmful = [one for one in suspects if one.harms and not self._scaler_skips(one)]
            self.skipped += bool(
                (self._scaled or self.always_scaled) and not harmful and any(one.harms for one in suspects)
            )
            self.verdict = min(harmful, key=lambda one: one.node.seq, default=None)
        meant = {seq: births for seq, births in self._bad.items() if births and all(b.meant for b in births)}
        self._bad = meant if len(meant) < _MOST else {}
        self._births = [one for one in self._births if one.meant and not one.harms][-100:]
        self._sound = {one for one in self._sound if one[0] in self._bad}
        self._open.clear()
        self._nan &= set(self._bad)
        self._scaled = False

    def _judge(self, node: Node, taken: Sequence[Operand]) -> None:
        if len(self._bad) > _MOST or (node.family in _BLIND and not _floats_bad(node)):
            return
        births = list({id(b): b for one in taken for b in self._bad.get(one.producer or -1, ())}.values())
        if node.family in _PASSING and taken and all(fact.finite is None for fact in node.outputs):
            self._pass_on(node, births, taken)
            return
        if not any(fact.finite is False for fact in node.outputs):
            if any(fact.finite is True for fact in node.outputs):
                self._hide(node, births, taken)
            elif any(map(inexact, node.outputs)):  # not looked at: it may still be bad
                self._pass_on(node, births, taken)
            return
        self._spread(node, births, taken)

    def _spread(self, node: Node, births: list[Birth], taken: Sequence[Operand]) -> None:
        """The node's output is not finite: a birth, or passed on."""
        for one in taken:
            self._open.discard(one.producer or -1)
        nan = has_nan(node.outputs)
        births = self._births_of(node, births, taken, nan)
        self._bad[node.seq] = births
        self._sound |= {(node.seq, place) for place, fact in enumerate(node.outputs) if fact.finite is True}
        self._open.add(node.seq)
        if nan:
            self._nan.add(node.seq)
        for birth in births:
            if node.phase == "optimizer":
                birth.harms.add("weights")
            elif node.family == "loss":
                birth.harms.add("loss")

    def _births_of(self, node: Node, births: list[Birth], taken: Sequence[Operand], nan: bool) -> list[Birth]:
        """Return the births that the node's output goes back to: new ones, or those of its inputs."""
        if not births:
            data = next(iter(taken), None)
            meant = not nan and (node.family in _MEANT if data is None else _masks(data.fact) or _starts(data))
            allowed = matches(node, self._allow)
            births = [Birth(node, meant or (allowed and not nan), allowed, data)]
        elif nan and all(b.meant for b in births) and not any(one.producer in self._nan for one in taken):
            births = [Birth(node, False, matches(node, self._allow))]
        else:
            for birth in births if nan else ():
                if birth.became_nan is None and not has_nan(birth.node.outputs):
                    birth.became_nan = node
            return births
        self._births += births
        return births

    def _pass_on(self, node: Node, births: list[Birth], taken: Sequence[Operand]) -> None:
        if not births:  # it came in as data, and what became of it was not looked at
            entered = [one for one in taken if one.producer is None]
            births = self._births_of(node, [], entered, nan=not _masks(entered[0].fact)) if entered else []
        if not births:
            return
        for one in taken:
            if one.producer in self._open:
                self._open.discard(one.producer)
                self._open.add(node.seq)
            if one.producer in self._nan:
                self._nan.add(node.seq)
        self._bad[node.seq] = births

    def _hide(self, node: Node, births: list[Birth], taken: Sequence[Operand]) -> None:
        for one in taken:
            self._open.discard(one.producer or -1)
        for birth in births:
            birth.hidden_by = birth.hidden_by or node
            swallowed = node.function == "div" and len(node.inputs) > 1 and node.inputs[1] in taken
            if swallowed and not birth.meant and birth.node.function in OVERFLOWING:
                birth.harms.add("value")

    def _births_of_gradient(self, gradient: Gradient) -> list[Birth]:
        found = self._bad.get(gradient.producer if gradient.producer is not None else -1)
        return found or [b for b in self._births if b.node.phase == "backward" or b.harms]

    def _scaler_skips(self, birth: Birth) -> bool:
        """Whether only scaled gradients overflowed, and the scaler kept them from the weights."""
        node = birth.node
        scaled = node.phase == "backward" or (node.function == "mul" and node.outputs[0].shape == ())
        return (self._scaled or self.always_scaled) and scaled and "weights" not in birth.harms


def _masked(birth: Birth) -> bool:
    """Whether a loss itself was not finite, for some elements, and a mask took them out at once."""
    hider = birth.hidden_by
    return (
        birth.harms == {"loss"} and hider is not None and hider.family == "where" and hider.phase == "forward"
    )


def _floats_bad(node: Node) -> bool:
    return any(fact.finite is False for fact in node.outputs)


def _masks(fact: TensorFact) -> bool:
    """Whether the only non-finite elements are -inf: a mask to be added to scores."""
    return fact.stats is not None and fact.stats.neg_inf > 0 and not fact.stats.nan and not fact.stats.pos_inf


def _starts(data: Operand) -> bool:
    """Whether it is a constant of nothing but infinities: where a search for the least or most begins."""
    stats, shape = data.fact.stats, data.fact.shape
    if data.origin != "constant" or stats is None or shape is None or None in shape:
        return False
    return stats.pos_inf + stats.neg_inf == math.prod(size or 0 for size in shape)


def inexact(fact: TensorFact) -> bool:
    """Whether a tensor has elements that can be NaN or infinite."""
    return "float" in fact.dtype or "complex" in fact.dtype


def has_nan(outputs: Sequence[TensorFact]) -> bool:
    """Whether one of some tensors holds NaN, or something not finite of which no more is known."""
    return any(fact.finite is False and (fact.stats is None or fact.stats.nan > 0) for fact in outputs)
