"""Looking: which tensors of a function have their numbers handed out, and what became of its ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from msgspec.structs import replace

from graphdebug.backends.tensorflow.packs import SMALL as FEW
from graphdebug.backends.tensorflow.packs import VALUED, kernel
from graphdebug.backends.tensorflow.two.optimized import Optimized
from graphdebug.backends.tensorflow.two.plan import Entry, Plan, numbers
from graphdebug.backends.tensorflow.two.summaries import LOOKED_INTO, SINGLE, SMALL, Summaries
from graphdebug.model.event import Level, Phase

__all__ = ["Looking", "looking_at_nothing"]

_ONCE = frozenset({
    "IteratorGetNext", "RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal",
    "StatefulUniform", "StatefulStandardNormalV2", "Multinomial", "RandomShuffle",
})  # fmt: skip
"""Ops that give something else when run again: what they gave is kept until the function has returned."""

_COUNTERS = frozenset({tf.int32.as_datatype_enum, tf.int64.as_datatype_enum})
_MOVED = "the optimizer has moved it out of its loop"


class Looking:
    """Looks at the ops of one part of a function: the whole, a body of a loop, a branch.

    Args:
        optimized: what runs for the whole function.
        summaries: where the numbers of this part are handed out; None where nothing is looked at.
        level: how much is recorded.
        alike: whether it must look alike wherever the function is called, and put nothing aside.

    """

    def __init__(
        self, optimized: Optimized, summaries: Summaries | None, level: Level, *, alike: bool = False
    ) -> None:
        self.optimized = optimized
        self.summaries = summaries
        self.alike = alike
        self._level = level

    def elsewhere(self, summaries: Summaries | None) -> Looking:
        """Return the same for another part of the function."""
        return Looking(self.optimized, summaries, self._level, alike=self.alike)

    def at(self, plan: Plan, op: Any, entry: Entry, prefix: str) -> None:
        """Say what became of the op of the last entry of `plan`, and have its outputs summed up if it is left.

        What a fusion ends with is looked at as well; looking at the rest would prevent the fusion.
        """
        entry.execution = self.optimized.execution(op, prefix)
        node, summaries = self.optimized.result(op, prefix), self.summaries
        if node is None or summaries is None:
            if entry.execution == "inferred":
                self._leave_out(entry, self.optimized.why)
            return
        if self.optimized.frame(node) != summaries.frame:
            self._leave_out(entry, _MOVED)
            return
        index, copy = len(plan.entries) - 1, summaries.copy
        if op.type in _ONCE and plan.outer and not self.alike:
            key, dtypes = f"graphdebug_{next(numbers)}", [tensor.dtype for tensor in op.outputs]
            names = [copy.readable(node, output, dtype) for output, dtype in enumerate(dtypes)]
            copy.put_aside(key, names, dtypes)
            plan.kept[index] = key, dtypes
        for output, (tensor, _) in enumerate(zip(op.outputs, copy.outputs(node), strict=False)):
            dtype = tensor.dtype.base_dtype
            if dtype in (tf.resource, tf.variant) or (op.type.startswith("FusedBatchNorm") and output > 2):
                continue
            is_open = not tensor.shape.is_fully_defined()
            has_numbers = self._level != "shapes" and not entry.alias
            plan.within[index, output] = node, dtype, tensor.shape.num_elements()
            if not is_open and not has_numbers:
                continue
            name = copy.readable(node, output, dtype)
            if is_open:
                rank = -1 if tensor.shape.rank is None else tensor.shape.rank
                summaries.shape(name, dtype, node.device, has_rank=rank >= 0)
                plan.slots.shapes.append((index, output, rank))
            if has_numbers:
                self._numbers(plan, (index, output), entry.phase, tensor, name, node.device)

    def _valued(self, phase: Phase) -> int:
        """Return up to how many elements a tensor's are handed out for statistics; at level health those of
        losses and of small gradients are, so that it shows how they go.
        """
        if self._level == "health":
            return VALUED if phase == "backward" and not self.alike else 1
        return FEW if self._level == "stats" else 0

    def _numbers(
        self, plan: Plan, place: tuple[int, int], phase: Phase, tensor: Any, name: str, device: str
    ) -> None:
        summaries, slots = self.summaries, plan.slots
        if summaries is None:
            return
        dtype, size = tensor.dtype.base_dtype, tensor.shape.num_elements()
        if dtype in LOOKED_INTO:
            single = size and dtype in SINGLE and kernel is not None
            if single and size <= self._valued(phase):
                summaries.elements(name, dtype, device)
                slots.elements.append((*place, size))
                return
            if single and size <= FEW and self._level == "health":
                summaries.elements(name, dtype, device, counted=False)
                slots.small.append((*place, size))
                return
            summaries.look(name, dtype, device, large=size is None or size > SMALL)
            slots.floats.append(place)
        if self._level == "values" and tensor.shape.is_fully_defined() and dtype != tf.string:
            slots.values.append((*place, summaries.sample(name, dtype, size, device)))

    def measure(self, plan: Plan, place: tuple[int, int]) -> None:
        """Have an output handed out that is calculated with, and may leave the range of whole numbers."""
        known, slots = plan.within.pop(place, None), plan.slots
        has_stats = {(index, output) for index, output, _ in slots.elements}
        has_stats |= set(slots.floats) if self._level == "stats" else set()
        if known is None or self.summaries is None or self._level == "shapes" or place in has_stats:
            return
        node, dtype, size = known
        name, device = self.summaries.copy.readable(node, place[1], dtype), node.device
        if dtype.is_integer and dtype != tf.uint64 and size and size <= FEW:
            self.summaries.whole(name, dtype, device)
            slots.whole.append((*place, size))
        elif dtype.is_integer or dtype.is_floating:
            self.summaries.measures(name, dtype, device)
            slots.whole.append((*place, 0))

    def _leave_out(self, entry: Entry, why: str) -> None:
        if self._level != "shapes":
            entry.outputs = [
                replace(fact, unchecked=why) if fact.dtype.startswith(("float", "bfloat")) else fact
                for fact in entry.outputs
            ]

    def rounds(self, loop: Entry) -> Summaries | None:
        """Return the summaries of one round of a loop, and have the number of its rounds handed out."""
        begins = self.optimized.node(f"{loop.name}/loop_body_control")
        counts = None if begins is None else self.optimized.called(begins.input[0])
        if self.summaries is None or counts is None or counts.attr["T"].type not in _COUNTERS:
            return None
        frame = self.optimized.frame(begins)
        if frame[:-1] != self.summaries.frame:
            return None
        copy, dtype = self.summaries.copy, tf.as_dtype(counts.attr["T"].type)
        last = copy.add("Exit", [copy.named(counts.name)], {"T": dtype}, "output", counts.device)
        self.summaries.number(last, dtype)
        return Summaries(copy, self._level, frame, begins.name)

    def branches(self, cond: Entry, count: int) -> Sequence[Summaries | None]:
        """Return the summaries of each branch of a cond."""
        for leaf, dtype in (("switch_pred", tf.bool), ("branch_index", tf.int32)):
            node, summaries = self.optimized.node(f"{cond.name}/{leaf}"), self.summaries
            if node is not None and summaries is not None and self.optimized.frame(node) == summaries.frame:
                return summaries.branch(summaries.copy.named(node.input[0]), dtype, count)
        return [None] * count


def looking_at_nothing(why: str = "") -> Looking:
    """Return what looks at nothing, for the reason `why`."""
    return Looking(Optimized(None, why), None, "health" if why else "shapes")
