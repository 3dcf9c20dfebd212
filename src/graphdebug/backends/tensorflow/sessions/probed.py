"""A plan with its probes: what to fetch besides the user's fetches, and how to read what comes back."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from graphdebug.backends.tensorflow.facts import array_fact
from graphdebug.backends.tensorflow.packs import Pack, Place
from graphdebug.backends.tensorflow.sessions.plan import Execution, Plan, PlanNode
from graphdebug.backends.tensorflow.sessions.probes import decode, decode_count
from graphdebug.backends.tensorflow.sessions.pruned import infer_shapes, pruned_graph
from graphdebug.backends.tensorflow.sessions.whole import Whole
from graphdebug.model.event import Level, Operand, Shape, TensorFact

__all__ = ["CallInput", "Measured", "Probed", "in_frame", "inferred", "shapes_key"]


class CallInput(NamedTuple):
    """Where the value of one input of a call is."""

    where: Literal["feed", "fetch", "read", "made"]
    position: int
    """In the fetches or reads; else 0: it is fed, or a list of tensors that is made anew of its sources."""
    tensor: Any


@dataclass(slots=True)
class Measured:
    """One probed tensor: where its numbers stand in the fetched vector, or its key in the staging area."""

    node: int
    output: int
    dtype: str
    start: int
    width: int
    counted: bool = False
    """Whether only its non-finite elements are counted, its shape being known."""
    level: Level | None = None
    """What was measured of it, where that is not what the plan's level says."""


@dataclass(slots=True)
class Probed:
    """What runs in place of a plan's own fetches and targets, and how to read it."""

    plan: Plan
    level: Level
    execution: list[Execution]
    recorded: list[bool]
    """Which nodes the user wants to see."""
    known: dict[Place, TensorFact]
    """Facts that no run changes: constants."""
    measured: list[Measured] = field(default_factory=list)
    staged: list[Measured] = field(default_factory=list)
    before: list[Measured] = field(default_factory=list)
    """Reads of reference variables that the run updates: seen before it, their memory is the variable's."""
    before_fetch: Any = None
    packs: list[Pack] = field(default_factory=list)
    """Tensors whose elements are fetched."""
    known_shapes: list[Measured] = field(default_factory=list)
    """Tensors whose shapes follow from the shapes of the feeds: what `shape_fetch` gives is held against them
    in the first run with such feeds."""
    shape_fetch: Any = None
    distrusted: set[Place] = field(default_factory=set)
    """Tensors whose shapes were not the inferred ones."""
    spared: set[Place] = field(default_factory=set)
    """Tensors that nothing may look at, since a sum would add in another order then."""
    local: bool = True
    """Whether all runs in main memory: then large tensors may be fetched."""
    outer: dict[int, Operand] = field(default_factory=dict)
    """What tensors are that no node of the plan made: the iterators of pipelines, by tensor id."""
    whole: Whole = field(default_factory=Whole)
    """What is calculated with and may leave the range of whole numbers."""
    fetches: list[Any] = field(default_factory=list)
    targets: list[Any] = field(default_factory=list)
    calls: dict[int, list[CallInput]] = field(default_factory=dict)
    """For each call of functions that can be opened, where the values of its inputs are."""
    sources: dict[int, CallInput] = field(default_factory=dict)
    """Where the numbers are that such lists are made of, by tensor id; of lists that calls gave, nothing."""
    closed: dict[str, str] = field(default_factory=dict)
    """Calls that can't be opened, by name, and why."""
    reads: list[Any] = field(default_factory=list)
    """Reads of the variables that those functions use, to be run before the run itself."""
    unstage: Any = None
    staged_size: Any = None
    alike: dict[Any, Any] = field(default_factory=dict)
    """A run as a pattern for those like it (`repeats.Repeat`), by what they have in common, where this plan's
    runs can be alike."""
    broken: bool = False
    """A probe itself failed: this plan runs without any from now on."""
    verified: set[bool] = field(default_factory=set)
    """Which of its runs, with `shape_fetch` and without, were held against what TensorFlow executed."""
    shapes: dict[Any, Mapping[str, Sequence[Shape | None]]] = field(default_factory=dict)
    checked: set[Any] = field(default_factory=set)
    """Shapes of feeds with which the inferred shapes have been found to be right."""
    _looked_at: set[int] | None = None

    @property
    def idle(self) -> bool:
        """Whether the user's filters leave nothing to record."""
        return not any(self.recorded)

    @property
    def repeats(self) -> bool:
        """Whether runs can say the same: no loop, branch or function in them, and no elements to keep."""
        if self.level == "values" or self.staged or self.calls or self.closed:
            return False
        return not any(in_frame(node) for node in self.plan.nodes)

    def seen_as(self, node: PlanNode) -> Execution:
        """Return how `node` ran: `inferred` where it ran and its outputs were not seen."""
        execution = self.execution[node.index]
        if execution != "executed" or not node.static or (node.index, 0) in self.known:
            return execution
        if self._looked_at is None:
            packed = [place for pack in self.packs for place, _ in pack.places]
            probed = [one.node for one in (*self.measured, *self.before, *self.known_shapes)]
            self._looked_at = {*packed, *probed}
        return "executed" if node.index in self._looked_at else "inferred"

    def read(
        self, fetched: Sequence[np.ndarray], shapes: Mapping[str, Sequence[Shape | None]]
    ) -> dict[Place, TensorFact]:
        """Return the facts that the probes' fetches tell, by node index and output."""
        nodes, level = self.plan.nodes, self.level
        if level == "values":
            return {
                (one.node, one.output): array_fact(
                    np.asarray(array), level, dtype=one.dtype, device=nodes[one.node].device
                )
                for one, array in zip(self.measured, fetched, strict=False)
            }
        found = {
            (one.node, one.output): TensorFact(
                inferred(shapes, nodes[one.node], one.output), one.dtype, nodes[one.node].device
            )
            for one in self.known_shapes
        }
        if self.measured:
            found |= self.decode(self.measured, fetched[0], shapes)
        for pack in self.packs:
            found |= self.unpacked(pack, fetched[pack.position], shapes)
        return found

    def unpacked(
        self, pack: Pack, numbers: np.ndarray, shapes: Mapping[str, Sequence[Shape | None]]
    ) -> dict[Place, TensorFact]:
        """Return the facts of a pack's tensors, given its elements."""
        sizes = {place: self._sizes(shapes, place) for place in pack.places}
        return pack.facts(numbers, sizes, self.level, [node.device for node in self.plan.nodes])

    def wants_check(self, feeds: Mapping[Any, Shape]) -> bool:
        """Whether the shapes inferred from feeds of these shapes have not been held against a run's yet."""
        return self.shape_fetch is not None and shapes_key(feeds) not in self.checked

    def check(self, numbers: np.ndarray, shapes: Mapping[str, Sequence[Shape | None]]) -> None:
        """Hold the shapes that a run had against the inferred ones."""
        for place, fact in self.decode(self.known_shapes, numbers, shapes, "shapes").items():
            if fact.shape != inferred(shapes, self.plan.nodes[place[0]], place[1]):
                self.distrusted.add(place)

    def counts(self, pack: Pack, shapes: Mapping[str, Sequence[Shape | None]]) -> bytes:
        """Return the numbers of elements of a pack's tensors with statistics, as the kernel takes them."""
        places = pack.places if self.level == "stats" else pack.places[: pack.valued]
        return array("q", [prod(self._sizes(shapes, place)) for place in places]).tobytes()

    def _sizes(self, shapes: Mapping[str, Sequence[Shape | None]], place: Place) -> tuple[int, ...]:
        return tuple([size or 0 for size in inferred(shapes, self.plan.nodes[place[0]], place[1]) or ()])

    def decode(
        self,
        measured: Sequence[Measured],
        numbers: np.ndarray,
        shapes: Mapping[str, Sequence[Shape | None]],
        level: Level | None = None,
    ) -> dict[Place, TensorFact]:
        """Return the facts that a vector of numbers tells of `measured`."""
        flat = numbers.tolist()
        found = {}
        for one in measured:
            node = self.plan.nodes[one.node]
            part = flat[one.start : one.start + one.width]
            known = inferred(shapes, node, one.output)
            found[one.node, one.output] = (
                decode_count(part, one.dtype, node.device, known) if one.counted
                else decode(part, level or one.level or self.level, one.dtype, node.device, known)
            )  # fmt: skip
        return found

    def inferred_shapes(self, feeds: Mapping[Any, Shape]) -> Mapping[str, Sequence[Shape | None]]:
        """Return the shapes of all nodes for feeds of these shapes (by ``Tensor.ref()``), inferred once."""
        key = shapes_key(feeds)
        if key not in self.shapes:
            if len(self.shapes) > 64:
                self.shapes.clear()
            ops = [node.op for node in self.plan.nodes]
            self.shapes[key] = shapes_or_nothing(self.plan.graph, ops, feeds)
        return self.shapes[key]


def shapes_key(feeds: Mapping[Any, Shape]) -> frozenset[Any]:
    """Return what tells shapes of feeds (by ``Tensor.ref()``) from others."""
    return frozenset((id(ref.deref()), shape) for ref, shape in feeds.items())


def shapes_or_nothing(
    graph: Any, ops: Sequence[Any], feeds: Mapping[Any, Shape]
) -> Mapping[str, Sequence[Shape | None]]:
    """Return inferred shapes by op name; empty where TensorFlow finds that they do not fit."""
    try:
        return infer_shapes(pruned_graph(graph, ops, feeds))
    except (ValueError, TypeError):
        return {}


def in_frame(node: PlanNode) -> bool:
    """Whether a node is in a loop or branch of control flow v1, where nothing can be fetched."""
    return bool(node.loop) or node.conditional


def inferred(shapes: Mapping[str, Sequence[Shape | None]], node: PlanNode, output: int) -> Shape | None:
    """Return the inferred shape of an output, else the static one."""
    row = shapes.get(node.op.name, ())
    return row[output] if output < len(row) else node.static[output].shape
