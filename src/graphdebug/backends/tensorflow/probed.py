"""A plan with its probes: what to fetch besides the user's fetches, and how to read what comes back."""

from __future__ import annotations

import threading
import weakref
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from graphdebug.backends.tensorflow.calls import CALLS, is_pure
from graphdebug.backends.tensorflow.facts import array_fact, dtype_word
from graphdebug.backends.tensorflow.grappler import changed_nodes, executions, optimised
from graphdebug.backends.tensorflow.packs import CODES, ROOM, SMALL, Pack, Place, kernel
from graphdebug.backends.tensorflow.plan import Execution, Plan, PlanNode
from graphdebug.backends.tensorflow.probes import (
    COUNTS,
    FLOATS,
    MEASURED,
    UNMEASURED_OPS,
    build_count,
    build_probe,
    decode,
    decode_count,
    width,
)
from graphdebug.backends.tensorflow.pruned import infer_shapes, pruned_graph
from graphdebug.model.event import Level, Shape, TensorFact

__all__ = ["CallInput", "Measured", "Probed", "building", "probe_plan", "read_of", "shapes_key"]

_SCOPE = "graphdebug"
_build_lock = threading.RLock()
_numbers = count()
_known_probes: weakref.WeakKeyDictionary[Any, dict[tuple[str, str], str]] = weakref.WeakKeyDictionary()
"""For each graph, the names of the probes it has by tensor name and level: a graph is probed once."""


_Places = Sequence[tuple[PlanNode, int, Any]]
"""What is to be measured: (node, output number, tensor)."""
_TRIALS = 4
"""Times that probes are put elsewhere because TensorFlow's optimizer would change what it executes."""


class CallInput(NamedTuple):
    """Where the value of one input of a call is."""

    where: Literal["feed", "fetch", "read"]
    position: int
    """In the fetches or reads; 0 for a feed."""
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
    local: bool = True
    """Whether all runs in main memory: then large tensors may be fetched."""
    fetches: list[Any] = field(default_factory=list)
    targets: list[Any] = field(default_factory=list)
    calls: dict[int, list[CallInput]] = field(default_factory=dict)
    """For each call of functions that can be opened, where the values of its inputs are."""
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
    verified: bool = False
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
        """Whether each run executes the same nodes: no loop, branch or function in it."""
        return not self.staged and not self.calls and not any(_in_frame(node) for node in self.plan.nodes)

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
                _inferred(shapes, nodes[one.node], one.output), one.dtype, nodes[one.node].device
            )
            for one in self.known_shapes
        }
        if self.measured:
            found |= self.decode(self.measured, fetched[0], shapes)
        devices = [node.device for node in nodes]
        for pack in self.packs:
            sizes = {place: self._sizes(shapes, place) for place in pack.places}
            found |= pack.facts(fetched[pack.position], sizes, level, devices)
        return found

    def wants_check(self, feeds: Mapping[Any, Shape]) -> bool:
        """Whether the shapes inferred from feeds of these shapes have not been held against a run's yet."""
        return self.shape_fetch is not None and shapes_key(feeds) not in self.checked

    def check(self, numbers: np.ndarray, shapes: Mapping[str, Sequence[Shape | None]]) -> None:
        """Hold the shapes that a run had against the inferred ones."""
        for place, fact in self.decode(self.known_shapes, numbers, shapes, "shapes").items():
            if fact.shape != _inferred(shapes, self.plan.nodes[place[0]], place[1]):
                self.distrusted.add(place)

    def counts(self, pack: Pack, shapes: Mapping[str, Sequence[Shape | None]]) -> bytes:
        """Return the numbers of elements of a pack's tensors, as the kernel takes them."""
        return array("q", [prod(self._sizes(shapes, place)) for place in pack.places]).tobytes()

    def _sizes(self, shapes: Mapping[str, Sequence[Shape | None]], place: Place) -> tuple[int, ...]:
        return tuple([size or 0 for size in _inferred(shapes, self.plan.nodes[place[0]], place[1]) or ()])

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
            known = _inferred(shapes, node, one.output)
            found[one.node, one.output] = (
                decode_count(part, one.dtype, node.device, known) if one.counted
                else decode(part, level or self.level, one.dtype, node.device, known)
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


def probe_plan(
    plan: Plan,
    level: Level,
    recorded: list[bool],
    feeds: Mapping[Any, Shape],
    config: Any,
    distrusted: set[Place],
    local: bool,
) -> Probed:
    """Put probes on the tensors of `plan` that TensorFlow's graph optimizer leaves in place.

    Args:
        plan: what will run.
        level: what to measure.
        recorded: which nodes the user wants to see.
        feeds: shapes of this run's feeds; sizes of tensors decide how they are counted.
        config: the session's ConfigProto.
        distrusted: tensors whose shapes can't be inferred.
        local: whether all runs in main memory.

    """
    left = optimised(plan, config)
    probed = Probed(plan, level, executions(plan, left), recorded, _constants(plan, level))
    probed.distrusted, probed.local = distrusted, local
    shapes = probed.inferred_shapes(feeds)
    refused: set[str] = set()
    with _build_lock, building(plan.graph):
        for _ in range(_TRIALS):
            places = [
                place for place in _places(probed)
                if recorded[place[0].index] and place[0].op.name not in refused
            ]  # fmt: skip
            _put_probes(probed, places, shapes)
            shape_fetch = [] if probed.shape_fetch is None else [probed.shape_fetch]
            with_probes = optimised(plan, config, [*probed.fetches, *shape_fetch], probed.targets)
            changed = (
                changed_nodes(left, with_probes) if left is not None and with_probes is not None else set()
            )
            if not changed:
                return probed
            refused |= changed
        _put_probes(probed, [], shapes)
    return probed


def _put_probes(probed: Probed, places: _Places, shapes: Mapping[str, Sequence[Shape | None]]) -> None:
    """Make the fetches and targets that measure `places`, in place of those of an earlier trial."""
    probed.fetches, probed.targets, probed.reads = [], [], []
    probed.measured, probed.staged, probed.calls, probed.closed = [], [], {}, {}
    probed.packs, probed.known_shapes, probed.shape_fetch = [], [], None
    shared = _sharing_updated_memory(probed.plan)
    outside = [place for place in places if not _in_frame(place[0])]
    early = [place for place in outside if place[0].index in shared]
    probed.before, probed.before_fetch = _pack(early, shapes, probed.level)
    _add_fetched(probed, [place for place in outside if place[0].index not in shared], shapes)
    _add_staged(probed, [place for place in places if _in_frame(place[0])])
    _add_calls(probed)


def _constants(plan: Plan, level: Level) -> dict[tuple[int, int], TensorFact]:
    from tensorflow.python.framework import tensor_util

    found = {}
    for node in plan.nodes:
        if node.op.type == "Const":
            value = tensor_util.constant_value(node.op.outputs[0])
            if value is not None:
                dtype = dtype_word(node.op.outputs[0].dtype)
                found[node.index, 0] = array_fact(np.asarray(value), level, dtype=dtype, device=node.device)
    return found


def _places(probed: Probed) -> Iterator[tuple[PlanNode, int, Any]]:
    """Yield the outputs worth a probe: (node, output number, tensor)."""
    plan = probed.plan
    used = {id(one.tensor) for node in plan.nodes for one in node.inputs} | {id(one) for one in plan.fetches}
    fed = {id(tensor) for tensor in plan.feeds}
    for node in plan.nodes:
        if node.op.type in UNMEASURED_OPS or probed.execution[node.index] != "executed":
            continue
        for output, tensor in enumerate(node.op.outputs):
            wrong_rank = node.op.type.startswith("FusedBatchNorm") and output > 2
            if tensor.dtype._is_ref_dtype or wrong_rank or id(tensor) in fed or id(tensor) not in used:
                continue
            if dtype_word(tensor.dtype) in MEASURED and not (output and _in_frame(node)):
                yield node, output, tensor


def _in_frame(node: PlanNode) -> bool:
    return bool(node.loop) or node.conditional


def _sharing_updated_memory(plan: Plan) -> set[int]:
    """Return the nodes whose output is the memory of a reference variable that this plan updates.

    A probe of theirs may run after the update and see the new value.
    """
    updated = {
        one.name for node in plan.nodes if node.family == "assign"
        for one in node.inputs if one.origin == "variable" and one.tensor.dtype._is_ref_dtype
    }  # fmt: skip
    found: set[int] = set()
    for node in plan.nodes:
        if node.family not in ("copy", "reshape") or not node.inputs:
            continue
        first = node.inputs[0]
        if (first.origin == "variable" and first.name in updated) or first.node in found:
            found.add(node.index)
    return found


def _add_fetched(probed: Probed, places: _Places, shapes: Mapping[str, Sequence[Shape | None]]) -> None:
    if probed.level == "values":
        for node, output, tensor in places:
            probed.measured.append(Measured(node.index, output, dtype_word(tensor.dtype), 0, 0))
            probed.fetches.append(tensor)
        return
    known = [place for place in places if _is_known(probed, place, shapes)]
    probed.known_shapes, probed.shape_fetch = _pack(known, shapes, "shapes")
    here, in_graph = _split(probed, places, {(node.index, output) for node, output, _ in known}, shapes)
    probed.measured, packed = _pack(in_graph, shapes, probed.level, {id(tensor) for _, _, tensor in known})
    if packed is not None:
        probed.fetches.append(packed)
    _add_packs(probed, here, shapes)


def _is_known(
    probed: Probed, place: tuple[PlanNode, int, Any], shapes: Mapping[str, Sequence[Shape | None]]
) -> bool:
    """Whether a tensor's shape follows from the shapes of the feeds."""
    node, output, _ = place
    shape = _inferred(shapes, node, output)
    return shape is not None and None not in shape and (node.index, output) not in probed.distrusted


def _split(
    probed: Probed, places: _Places, known: set[Place], shapes: Mapping[str, Sequence[Shape | None]]
) -> tuple[_Places, _Places]:
    """Return what is fetched to be looked at here, and what is measured in the graph; others need neither."""
    here: list[tuple[PlanNode, int, Any]] = []
    in_graph: list[tuple[PlanNode, int, Any]] = []
    room = ROOM if probed.local and probed.level != "health" else 0
    for place in places:
        node, output, tensor = place
        dtype = dtype_word(tensor.dtype)
        if (node.index, output) not in known:
            in_graph.append(place)
            continue
        if probed.level == "shapes" or (probed.level == "health" and dtype not in FLOATS):
            continue
        elements = _elements(shapes, node, output) or 0
        size = elements * tensor.dtype.size
        if kernel is None or dtype not in CODES:
            in_graph.append(place)
        elif elements <= SMALL:
            here.append(place)
        elif size <= room and node.family != "copy":  # a variable's memory, held, is copied by its update
            room -= size
            here.append(place)
        else:
            in_graph.append(place)
    return here, in_graph


def _add_packs(probed: Probed, places: _Places, shapes: Mapping[str, Sequence[Shape | None]]) -> None:
    """Fetch small tensors joined by dtype, the others as they are."""
    import tensorflow as tf

    joined: dict[str, list[tuple[PlanNode, int, Any]]] = {}
    for node, output, tensor in places:
        dtype = dtype_word(tensor.dtype)
        if (_elements(shapes, node, output) or 0) <= SMALL:
            joined.setdefault(dtype, []).append((node, output, tensor))
        else:
            probed.packs.append(Pack(dtype, len(probed.fetches), [(node.index, output)]))
            probed.fetches.append(tensor)
    for dtype, several in joined.items():
        flat = [_once(tensor, "flat", lambda tensor: tf.reshape(tensor, [-1])) for _, _, tensor in several]
        pack = Pack(dtype, len(probed.fetches), [(node.index, output) for node, output, _ in several])
        probed.packs.append(pack)
        probed.fetches.append(_joined(flat))


def _elements(shapes: Mapping[str, Sequence[Shape | None]], node: PlanNode, output: int) -> int | None:
    shape = _inferred(shapes, node, output)
    return None if shape is None or None in shape else prod(size for size in shape if size is not None)


def _pack(
    places: _Places, shapes: Mapping[str, Sequence[Shape | None]], level: Level, known: Set[int] = frozenset()
) -> tuple[list[Measured], Any]:
    """Probe some tensors; return where their numbers stand in one vector, and the vector (None if empty).

    Args:
        places: what to probe.
        shapes: as inferred.
        level: how much to measure.
        known: ids of the tensors whose shapes need not be measured.

    """
    measured: list[Measured] = []
    parts, start = [], 0
    for node, output, tensor in places:
        dtype = dtype_word(tensor.dtype)
        counted = level == "health" and id(tensor) in known
        size = COUNTS if counted else width(level, dtype)
        elements = _elements(shapes, node, output)
        parts.append(
            _once(tensor, "count", build_count) if counted
            else _once(tensor, level, partial(build_probe, level=level, elements=elements, key=0))
        )  # fmt: skip
        measured.append(Measured(node.index, output, dtype, start, size, counted))
        start += size
    return measured, _joined(parts) if parts else None


def _add_staged(probed: Probed, places: Sequence[tuple[PlanNode, int, Any]]) -> None:
    """Put sinks into loops and branches: they come back in the order of execution, only what ran."""
    import tensorflow as tf

    if not places:
        return
    graph, area = probed.plan.graph, f"{_SCOPE}_{next(_numbers)}"
    for key, (node, output, tensor) in enumerate(places):
        context = graph._get_control_flow_context()
        graph._set_control_flow_context(node.op._get_control_flow_context())
        try:
            numbers = build_probe(tensor, probed.level, 0, key)
            probed.targets.append(tf.raw_ops.Stage(values=[numbers], shared_name=area))
        finally:
            graph._set_control_flow_context(context)
        dtype = dtype_word(tensor.dtype)
        probed.staged.append(Measured(node.index, output, dtype, 0, width(probed.level, dtype)))
    probed.staged_size = tf.raw_ops.StageSize(dtypes=[tf.float64], shared_name=area)
    probed.unstage = tf.raw_ops.Unstage(dtypes=[tf.float64], shared_name=area)[0]


def _add_calls(probed: Probed) -> None:
    """Fetch the inputs of the functions that can be run once more, op by op."""
    import tensorflow as tf

    plan = probed.plan
    fed = {id(tensor) for tensor in plan.feeds}
    assigned = {node.inputs[0].name for node in plan.nodes if node.op.type == "AssignVariableOp"}
    for node in plan.nodes:
        if node.op.type not in CALLS or not probed.recorded[node.index] or _in_frame(node):
            continue
        if not is_pure(plan.graph, node.op):
            probed.closed[node.op.name] = "what it calls changes state or is random"
            continue
        found: list[CallInput] = []
        for tensor in node.op.inputs:
            if id(tensor) in fed:
                found.append(CallInput("feed", 0, tensor))
            elif tensor.op.type == "VarHandleOp" and tensor.op.name not in assigned:
                found.append(CallInput("read", len(probed.reads), tensor))
                probed.reads.append(read_of(tensor))
            elif not tensor.dtype._is_ref_dtype and tensor.dtype not in (tf.resource, tf.variant):
                found.append(CallInput("fetch", len(probed.fetches), tensor))
                probed.fetches.append(tensor)
        if len(found) == len(node.op.inputs):
            probed.calls[node.index] = found
        else:
            probed.closed[node.op.name] = "it is given something that can't be fetched"


def read_of(handle: Any) -> Any:
    """Return a read of the variable of `handle`, one we made before if there is one."""
    import tensorflow as tf

    known = _known_probes.setdefault(handle.graph, {})
    name = known.get((handle.name, "read"))
    if name is not None:
        return handle.graph.get_tensor_by_name(name)
    read = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.dtypes.as_dtype(handle.op.get_attr("dtype")))
    known[handle.name, "read"] = read.name
    return read


def _once(tensor: Any, what: str, build: Callable[[Any], Any]) -> Any:
    """Return what `build` makes of `tensor`, the one that its graph has already if there is one."""
    known = _known_probes.setdefault(tensor.graph, {})
    name = known.get((tensor.name, what))
    if name is None:
        with tensor.graph.device(tensor.op.device or None):
            made = build(tensor)
        known[tensor.name, what] = made.name
        return made
    return tensor.graph.get_tensor_by_name(name)


def _joined(vectors: Sequence[Any]) -> Any:
    """Return vectors end to end, in one that their graph has already if there is one."""
    import tensorflow as tf

    if len(vectors) == 1:
        return vectors[0]
    what = "+".join(vector.name for vector in vectors[1:])
    return _once(vectors[0], what, lambda _: tf.concat(vectors, 0))


def _inferred(shapes: Mapping[str, Sequence[Shape | None]], node: PlanNode, output: int) -> Shape | None:
    row = shapes.get(node.op.name, ())
    return row[output] if output < len(row) else node.static[output].shape


@contextmanager
def building(graph: Any) -> Iterator[None]:
    """Make `graph` the default graph, outside every scope, also if it was finalized; as before afterwards."""
    finalized = graph.finalized
    if finalized:
        graph._unsafe_unfinalize()
    try:
        with (
            graph.as_default(),
            graph.control_dependencies(None),
            graph.name_scope(f"{_SCOPE}/"),
            graph.device(None),
            graph._original_op(None),
        ):
            yield
    finally:
        if finalized:
            graph.finalize()
