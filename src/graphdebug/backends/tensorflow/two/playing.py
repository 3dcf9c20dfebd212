"""Playing: turns what one run of a function handed out into nodes, following its plan."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as replaced
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from msgspec.structs import replace

from graphdebug.backends.tensorflow.facts import array_fact, stats_of
from graphdebug.backends.tensorflow.packs import CODES, all_finite, kernel
from graphdebug.backends.tensorflow.two.ledger import Made, Ran
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.plan import Entry, Gradients, Plan, Ref, Slots
from graphdebug.backends.tensorflow.two.summaries import MEASURES, WIDTHS
from graphdebug.model.event import Family, Gradient, Level, Node, Site, Stats, TensorFact, number

__all__ = ["Records", "Run", "measured", "summed"]

_CANCELLED = 1e-4
"""A variance below this part of the squared mean is lost in single precision: then none is given."""


_stats = msgspec.json.Decoder(Stats)


class Records:
    """The two vectors a function has handed out, read from front to back.

    Args:
        floats: summaries of numbers.
        ints: shapes, numbers of iterations, branches taken.
        staged: takes the next record that was put aside under a key.

    """

    def __init__(
        self, floats: np.ndarray, ints: np.ndarray, staged: Callable[[str, Sequence[Any]], Sequence[np.ndarray]]
    ) -> None:
        self._floats = floats
        self._ints = ints
        self._staged = staged
        self._at = [0, 0]

    def of_body(self, key: str, dtypes: Sequence[tf.DType]) -> Records:
        """Return the next record that a body has put aside."""
        vectors = self._staged(key, dtypes) if key else ()
        floats = next((one for one in vectors if one.dtype == np.float32), np.zeros(0, np.float32))
        ints = next((one for one in vectors if one.dtype == np.int64), np.zeros(0, np.int64))
        return Records(floats, ints, self._staged)

    def floats(self, count: int) -> np.ndarray:
        """Read the next `count` numbers."""
        start = self._at[0]
        self._at[0] += count
        return self._floats[start : self._at[0]]

    def ints(self, count: int) -> np.ndarray:
        """Read the next `count` integers."""
        start = self._at[1]
        self._at[1] += count
        return self._ints[start : self._at[1]]


class _Facts:
    """The facts of one run: those known beforehand, with what the records add."""

    def __init__(self, plan: Plan, records: Records, level: Level) -> None:
        self.of = [list(facts) for facts in plan.expected(level)]
        self.controls: dict[int, int] = {}
        self._records, self._level = records, level
        self._calls = iter(plan.calls)
        self._next = next(self._calls, None)
        self._read(plan.slots)

    def reach(self, index: int) -> None:
        """Read what the functions have handed out that are called up to an entry."""
        while self._next is not None and self._next.start <= index:
            self._read(self._next.slots)
            self._next = next(self._calls, None)

    def _read(self, slots: Slots) -> None:
        self._shapes(slots, self._records)
        for index, output, size in slots.whole:
            found = measured(self._records.ints(size or MEASURES), size)
            self.of[index][output] = replace(self.of[index][output], stats=found)
        self._numbers(slots, self._records, self._level)

    def _shapes(self, slots: Slots, records: Records) -> None:
        for index, output, rank in slots.shapes:
            sizes = [int(size) for size in records.ints(rank if rank >= 0 else int(records.ints(1)[0]))]
            if output < 0:
                self.controls[index] = sizes[0]
            else:
                self.of[index][output] = replace(self.of[index][output], shape=tuple(sizes))

    def _numbers(self, slots: Slots, records: Records, level: Level) -> None:
        summary, singles = WIDTHS[level]
        count = len(slots.floats)
        first = records.floats(count * summary).reshape(count, summary)
        second = records.floats(count * singles).reshape(count, singles)
        rows = np.flatnonzero(first[:, 2:].any(axis=1)) if level == "health" else range(count)
        for row in rows:
            index, output = slots.floats[row]
            self.of[index][output] = summed(self.of[index][output], first[row], second[row])
        for index, output, size in slots.elements:
            self.of[index][output] = _looked_at(self.of[index][output], records.floats(size))
        together = records.floats(sum(size for _, _, size in slots.small))
        if len(together) and not all_finite(together, "float32"):
            at = 0
            for index, output, size in slots.small:
                found, at = array_fact(together[at : at + size], "health"), at + size
                self.of[index][output] = replace(self.of[index][output], finite=found.finite, stats=found.stats)
        for index, output, size in slots.values:
            values = tuple(number(float(value)) for value in records.floats(size))
            self.of[index][output] = replace(self.of[index][output], values=values)


class Run:
    """One run of a function: which nodes it made, by their paths.

    Args:
        observer: the recording.
        run_site: the user's line that called the function.
        began: when it was called, in seconds from the start of the recording.
        forward: the run of the forward function, where this is a backward function.

    """

    def __init__(self, observer: Observer, run_site: Site | None, began: float, forward: Run | None) -> None:
        self._observer = observer
        self._ledger = observer.ledger
        self._run_site = run_site
        self._began = began
        self._forward = forward
        self.nodes: dict[str, list[int]] = {}
        self._round = 0
        """Iterations of the running loop that were played before: a backward loop begins with the last."""
        self.events: list[Node | Gradient] = []
        """What it made, to be emitted by the caller."""
        self.facts: list[list[TensorFact]] = []
        """Of the outputs of the entries of the plan that was played last."""

    def play(
        self, plan: Plan, records: Records, arguments: Sequence[Made],
        seen: Mapping[int, Sequence[TensorFact]] | None = None,
    ) -> list[Made]:  # fmt: skip
        """Make the nodes of one run of `plan`, and return where its outputs came from.

        Args:
            plan: what ran.
            records: what it handed out.
            arguments: what it was called with.
            seen: outputs that were seen otherwise, by entry.

        """
        facts = _Facts(plan, records, self._observer.level)
        for index, outputs in (seen or {}).items():
            facts.of[index] = list(outputs)
        made: list[list[Made]] = []
        for index, entry in enumerate(plan.entries):
            facts.reach(index)
            inputs = [_resolve(ref, made, arguments) for ref, _ in entry.inputs]
            results: Sequence[Made] = ()
            if entry.control is not None and index in facts.controls:
                results = self._bodies(entry, facts.controls[index], records, inputs)
            made.append(self._node(entry, facts.of[index], inputs, results))
        self.facts = facts.of
        for gradient in plan.gradients:
            self._gradient(gradient, _resolve(gradient.ref, made, arguments))
        return [_resolve(ref, made, arguments) for ref in plan.outputs]

    def raised(
        self, path: Sequence[tuple[Plan, int]], arguments: Sequence[Made],
        seen: Mapping[int, Sequence[TensorFact]],
    ) -> tuple[Entry, list[Made], int]:  # fmt: skip
        """Make the nodes that led to the op that raised, and that op; return it, its operands and its number.

        Args:
            path: the op's plan and entry, behind those of the branches and loops it is in.
            arguments: what the function was called with.
            seen: outputs that could be computed again, by entry of the first plan.

        """
        (plan, last), rest = path[0], path[1:]
        made: list[list[Made]] = []
        for index, entry in enumerate(plan.entries[:last]):
            inputs = [_resolve(ref, made, arguments) for ref, _ in entry.inputs]
            facts = list(seen.get(index) or entry.outputs)
            execution = entry.execution if index in seen or entry.execution != "executed" else "inferred"
            made.append(self._node(replaced(entry, execution=execution), facts, inputs, ()))
        entry = plan.entries[last]
        inputs = [_resolve(ref, made, arguments) for ref, _ in entry.inputs]
        if rest:
            is_loop = entry.control is not None and entry.control.loop
            return self.raised(rest, inputs if is_loop else inputs[1:], {})
        self._node(replaced(entry, execution="raised"), [], inputs, ())
        return entry, inputs, self.nodes[entry.name][-1]

    def _bodies(self, entry: Entry, count: int, records: Records, inputs: Sequence[Made]) -> Sequence[Made]:
        """Play the branch taken, or every iteration of a loop; return what came out of it."""
        control = entry.control
        if control is None:
            return ()
        if not control.loop:
            body = control.bodies[min(max(count, 0), len(control.bodies) - 1)]
            return self.play(body, records, inputs[1:])
        if control.condition is not None:
            self.play(control.condition, records.of_body("", ()), inputs)
        body, outer = control.bodies[0], self._round
        results = inputs
        for self._round in range(count):
            results = self.play(body, records.of_body(body.stage, body.staged), results)
        self._round = outer
        return results

    def _node(
        self, entry: Entry, facts: list[TensorFact], inputs: Sequence[Made], results: Sequence[Made]
    ) -> list[Made]:
        observer, sink = self._observer, self._observer.sink
        seq = sink.next_seq()
        self.nodes.setdefault(entry.name, []).append(seq)
        forward, function, family = self._tied(entry)
        wanted = observer.wants(entry.op, function, entry.module, entry.phase)
        if entry.alias and inputs and facts:
            source = inputs[0]
            facts[0] = replace(facts[0], alias_of=source.seq, finite=source.fact.finite)
        for index, one in enumerate(results[: len(facts)]):
            facts[index] = one.fact
        if not wanted:
            return [Made(fact, "unknown") for fact in facts]
        operands = [one.operand(role) for one, (_, role) in zip(inputs, entry.inputs, strict=True)]
        if results:
            operands = [*operands[:1], *(one.operand("input") for one in results)]
        self._ledger.ran[seq] = Ran(entry.op, tuple(inputs), function, family)
        sites = entry.sites
        self.events.append(
            Node(
                seq, sink.step, entry.op, function, family, "tensorflow", "function", entry.phase, entry.name,
                entry.module, site=sites[0] if sites else None, run_site=self._run_site, callers=sites[1:],
                inputs=tuple(operands), outputs=tuple(facts), forward=forward,
                mutates=(0,) if entry.family == "assign" and operands else (),
                attributes=entry.attributes, execution=entry.execution, time=self._began,
            )
        )  # fmt: skip
        return [Made(fact, "node", seq, index) for index, fact in enumerate(facts)]

    def _tied(self, entry: Entry) -> tuple[int | None, str, Family]:
        """Return the forward node of a backward op, and the words that follow from it."""
        if not entry.forward:
            return None, entry.function, entry.family
        seq = self.nodes[entry.forward][-1] if entry.beside else self._made_in_forward(entry.forward)
        ran = None if seq is None else self._ledger.ran.get(seq)
        if ran is None:
            return seq, entry.function, entry.family
        return seq, f"{ran.function.removesuffix('_backward')}_backward", ran.family

    def _made_in_forward(self, path: str) -> int | None:
        """Return the number of a forward node, of this run or of that of the forward function."""
        seqs = self.nodes.get(path)
        if seqs is None and self._forward is not None:
            seqs = self._forward.nodes.get(path)
        return None if seqs is None else seqs[-1 - self._round] if self._round < len(seqs) else seqs[-1]

    def _gradient(self, gradient: Gradients, made: Made) -> None:
        sink = self._observer.sink
        if self._observer.options.gradients == "none" or not made.fact.dtype:
            return
        node = self._made_in_forward(gradient.forward) if gradient.forward else None
        if gradient.variable or node is not None:
            self.events.append(
                Gradient(
                    sink.next_seq(), sink.step, made.fact, gradient.variable, node, gradient.output,
                    producer=made.seq,
                )
            )  # fmt: skip


def _resolve(ref: Ref, made: Sequence[Sequence[Made]], arguments: Sequence[Made]) -> Made:
    if ref.kind == "entry":
        return made[ref.at][ref.output]
    if ref.kind == "argument" and ref.at < len(arguments):
        return arguments[ref.at]
    known = ref.known
    return _NOTHING if known is None else Made(known.fact, known.origin, name=known.name)


_NOTHING = Made(TensorFact(None, ""), "unknown")


def _looked_at(fact: TensorFact, elements: np.ndarray) -> TensorFact:
    """Return `fact` with the statistics of its elements."""
    texts = kernel.stats_texts(elements, array("q", [elements.size]).tobytes(), 0)
    if texts is None:
        found = array_fact(elements, "stats")
        return replace(fact, finite=found.finite, stats=found.stats)
    return replace(fact, finite=True, stats=_stats.decode(texts[0]))


def measured(numbers: np.ndarray, size: int) -> Stats | None:
    """Return the statistics of a tensor from its elements, or from its measures where it has no `size`."""
    if size:
        texts = kernel and kernel.stats_texts(numbers, array("q", [size]).tobytes(), CODES["int64"])
        return _stats.decode(texts[0]) if texts else stats_of(numbers)
    count, low, high, mean, half_squares, zero = numbers.view(np.float64).tolist()
    if not count or not all(map(math.isfinite, (low, high, mean, half_squares))):
        return None
    variance = 2 * half_squares / count - mean * mean
    std = math.sqrt(variance) if variance > _CANCELLED * mean * mean else 0.0 if low == high else None
    return Stats(0, 0, 0, int(zero), low, high, mean, std, math.sqrt(2 * half_squares))


def summed(fact: TensorFact, summary: np.ndarray, singles: np.ndarray) -> TensorFact:
    """Return `fact` with its statistics: var = mean of squares - square of the mean, where that is not lost."""
    size, neg_inf, pos_inf, nan = (int(value) for value in summary[1:5])
    finite = not (neg_inf or pos_inf or nan)
    counts: dict[str, Any] = {"nan": nan, "pos_inf": pos_inf, "neg_inf": neg_inf}
    if not len(singles):
        return replace(fact, finite=finite, stats=Stats(**counts))
    half_squares, low, high, mean, zero = (float(value) for value in singles)
    counts["zero"] = int(zero)
    if not finite or not size:
        return replace(fact, finite=finite, stats=Stats(**counts))
    variance = 2 * half_squares / size - mean * mean
    lost = not math.isfinite(variance) or variance < _CANCELLED * mean * mean
    return replace(
        fact,
        finite=True,
        stats=Stats(
            **counts, min=number(low), max=number(high), mean=number(mean),
            std=None if lost else number(math.sqrt(max(variance, 0.0))),
            l2=number(math.sqrt(2 * half_squares)) if math.isfinite(half_squares) else None,
        ),
    )  # fmt: skip
