"""A plan with its probes: what to fetch besides the user's fetches, and how to read what comes back."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from graphdebug.backends.tensorflow.calls import CALLS, is_pure
from graphdebug.backends.tensorflow.facts import array_fact, dtype_word
from graphdebug.backends.tensorflow.grappler import changed_nodes, executions, optimised
from graphdebug.backends.tensorflow.plan import Execution, Plan, PlanNode
from graphdebug.backends.tensorflow.probes import MEASURED, UNMEASURED_OPS, build_probe, decode, width
from graphdebug.backends.tensorflow.pruned import infer_shapes, pruned_graph
from graphdebug.model.event import Level, Shape, TensorFact

__all__ = ["CallInput", "Measured", "Probed", "building", "probe_plan", "read_of"]

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


@dataclass(slots=True)
class Probed:
    """What runs in place of a plan's own fetches and targets, and how to read it."""

    plan: Plan
    level: Level
    execution: list[Execution]
    recorded: list[bool]
    """Which nodes the user wants to see."""
    known: dict[tuple[int, int], TensorFact]
    """Facts that no run changes: constants."""
    measured: list[Measured] = field(default_factory=list)
    staged: list[Measured] = field(default_factory=list)
    before: list[Measured] = field(default_factory=list)
    """Reads of reference variables that the run updates: seen before it, their memory is the variable's."""
    before_fetch: Any = None
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
    last: Any = None
    """The last run as a pattern for the next (`repeats.Repeat`), where this plan's runs can be alike."""
    broken: bool = False
    """A probe itself failed: this plan runs without any from now on."""
    verified: bool = False
    shapes: dict[Any, Mapping[str, Sequence[Shape | None]]] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Whether the user's filters leave nothing to record."""
        return not any(self.recorded)

    @property
    def repeats(self) -> bool:
        """Whether each run executes the same nodes: no loop, branch or function in it."""
        return not self.staged and not self.calls and not any(_in_frame(node) for node in self.plan.nodes)

    def numbers(self, fetched: Sequence[np.ndarray], before: np.ndarray | None) -> bytes:
        """Return all that the probes gave as bytes, to compare runs by; empty at level `values`."""
        if self.level == "values" or not self.measured:
            return b""
        return bytes(fetched[0].tobytes() + (b"" if before is None else before.tobytes()))

    def seen_as(self, node: PlanNode) -> Execution:
        """Return how `node` ran: `inferred` where it ran and its outputs were not seen."""
        execution = self.execution[node.index]
        if execution != "executed" or not node.static or (node.index, 0) in self.known:
            return execution
        seen = any(one.node == node.index for one in (*self.measured, *self.before))
        return "executed" if seen else "inferred"

    def read(
        self, fetched: Sequence[np.ndarray], shapes: Mapping[str, Sequence[Shape | None]]
    ) -> dict[tuple[int, int], TensorFact]:
        """Return the facts that the probes' fetches tell, by node index and output."""
        nodes, level = self.plan.nodes, self.level
        if level != "values":
            return self._decode(self.measured, fetched[0], shapes) if self.measured else {}
        return {
            (one.node, one.output): array_fact(
                np.asarray(array), level, dtype=one.dtype, device=nodes[one.node].device
            )
            for one, array in zip(self.measured, fetched, strict=False)
        }

    def read_before(
        self, numbers: np.ndarray, shapes: Mapping[str, Sequence[Shape | None]]
    ) -> dict[tuple[int, int], TensorFact]:
        """Return the facts that were seen before the run."""
        return self._decode(self.before, numbers, shapes)

    def _decode(
        self, measured: Sequence[Measured], numbers: np.ndarray, shapes: Mapping[str, Sequence[Shape | None]]
    ) -> dict[tuple[int, int], TensorFact]:
        flat = numbers.tolist()
        found = {}
        for one in measured:
            node = self.plan.nodes[one.node]
            part = flat[one.start : one.start + one.width]
            known = _inferred(shapes, node, one.output)
            found[one.node, one.output] = decode(part, self.level, one.dtype, node.device, known)
        return found

    def inferred_shapes(self, feeds: Mapping[Any, Shape]) -> Mapping[str, Sequence[Shape | None]]:
        """Return the shapes of all nodes for feeds of these shapes (by ``Tensor.ref()``), inferred once."""
        key = frozenset((id(ref.deref()), shape) for ref, shape in feeds.items())
        if key not in self.shapes:
            if len(self.shapes) > 64:
                self.shapes.clear()
            ops = [node.op for node in self.plan.nodes]
            self.shapes[key] = shapes_or_nothing(self.plan.graph, ops, feeds)
        return self.shapes[key]


def shapes_or_nothing(
    graph: Any, ops: Sequence[Any], feeds: Mapping[Any, Shape]
) -> Mapping[str, Sequence[Shape | None]]:
    """Return inferred shapes by op name; empty where TensorFlow finds that they do not fit."""
    try:
        return infer_shapes(pruned_graph(graph, ops, feeds))
    except (ValueError, TypeError):
        return {}


def probe_plan(
    plan: Plan, level: Level, recorded: list[bool], feeds: Mapping[Any, Shape], config: Any
) -> Probed:
    """Put probes on the tensors of `plan` that TensorFlow's graph optimizer leaves in place.

    Args:
        plan: what will run.
        level: what to measure.
        recorded: which nodes the user wants to see.
        feeds: shapes of this run's feeds; sizes of tensors decide how they are counted.
        config: the session's ConfigProto.

    """
    left = optimised(plan, config)
    probed = Probed(plan, level, executions(plan, left), recorded, _constants(plan, level))
    shapes = probed.inferred_shapes(feeds)
    refused: set[str] = set()
    with _build_lock, building(plan.graph):
        for _ in range(_TRIALS):
            places = [
                place for place in _places(probed)
                if recorded[place[0].index] and place[0].op.name not in refused
            ]  # fmt: skip
            _put_probes(probed, places, shapes)
            with_probes = optimised(plan, config, probed.fetches, probed.targets)
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
    probed.measured, packed = _pack(places, shapes, probed.level)
    if packed is not None:
        probed.fetches.append(packed)


def _pack(
    places: _Places, shapes: Mapping[str, Sequence[Shape | None]], level: Level
) -> tuple[list[Measured], Any]:
    """Probe some tensors; return where their numbers stand in one vector, and the vector (None if empty)."""
    import tensorflow as tf

    measured: list[Measured] = []
    parts, start = [], 0
    for node, output, tensor in places:
        shape = _inferred(shapes, node, output)
        elements = None if shape is None or None in shape else prod(size for size in shape if size is not None)
        dtype = dtype_word(tensor.dtype)
        size = width(level, dtype)
        parts.append(_probe_of(tensor, level, elements))
        measured.append(Measured(node.index, output, dtype, start, size))
        start += size
    if not parts:
        return measured, None
    return measured, parts[0] if len(parts) == 1 else tf.concat(parts, 0)


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


def _probe_of(tensor: Any, level: Level, elements: int | None) -> Any:
    """Return the probe of `tensor`, the one that its graph has already if there is one."""
    known = _known_probes.setdefault(tensor.graph, {})
    name = known.get((tensor.name, level))
    if name is None:
        with tensor.graph.device(tensor.op.device or None):
            probe = build_probe(tensor, level, elements, 0)
        known[tensor.name, level] = probe.name
        return probe
    return tensor.graph.get_tensor_by_name(name)


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
