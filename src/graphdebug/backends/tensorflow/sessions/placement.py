"""Placement: which tensors of a plan are probed, so that TensorFlow executes what it would without probes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from graphdebug.backends.tensorflow.facts import array_fact, dtype_word
from graphdebug.backends.tensorflow.packs import Place
from graphdebug.backends.tensorflow.sessions.calls import is_call, writes
from graphdebug.backends.tensorflow.sessions.grappler import Optimised, changed_nodes, executions, optimised
from graphdebug.backends.tensorflow.sessions.packing import Places, add_fetched, pack
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanNode
from graphdebug.backends.tensorflow.sessions.probed import CallInput, Probed, in_frame
from graphdebug.backends.tensorflow.sessions.probes import MEASURED, UNMEASURED_OPS
from graphdebug.backends.tensorflow.sessions.scaffold import building, read_of
from graphdebug.backends.tensorflow.sessions.scratch import is_variant, sources_of
from graphdebug.backends.tensorflow.sessions.staging import add_staged
from graphdebug.backends.tensorflow.sessions.whole import Whole, whole_numbers
from graphdebug.backends.tensorflow.sums import spared
from graphdebug.model.event import Level, Shape, TensorFact

__all__ = ["probe_plan"]

_build_lock = threading.RLock()
_TRIALS = 4
"""Times that probes are put elsewhere because TensorFlow's optimizer would change what it executes."""


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
    left, whole = optimised(plan, config), Whole() if level == "shapes" else whole_numbers(plan)
    probed = Probed(plan, level, executions(plan, left), recorded, _constants(plan, level, whole), whole=whole)
    probed.distrusted, probed.local = distrusted, local
    probed.spared = _spared(plan, left)
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
            refused |= changed if changed - refused else _neighbours(plan, changed)
        _put_probes(probed, [], shapes)
    return probed


def _spared(plan: Plan, left: Optimised | None) -> set[Place]:
    """Return the tensors that a probe must leave alone, since a sum needs their memory."""
    nodes = [node.op.node_def for node in plan.nodes] if left is None else list(left.values())
    held = [(tensor.op.name, tensor.value_index) for tensor in plan.fetches]
    return {
        (plan.index[name], output) for name, output in spared(nodes, held) if name in plan.index
    }  # fmt: skip


def _neighbours(plan: Plan, names: set[str]) -> set[str]:
    """Return the names of nodes with those that make their inputs and those that use their outputs."""
    found = set(names)
    for node in plan.nodes:
        makers = {plan.nodes[one.node].op.name for one in node.inputs if one.node is not None}
        if node.op.name in names:
            found |= makers
        elif makers & names:
            found.add(node.op.name)
    return found


def _put_probes(probed: Probed, places: Places, shapes: Mapping[str, Sequence[Shape | None]]) -> None:
    """Make the fetches and targets that measure `places`, in place of those of an earlier trial."""
    probed.fetches, probed.targets, probed.reads = [], [], []
    probed.measured, probed.staged, probed.calls, probed.closed = [], [], {}, {}
    probed.sources = {}
    probed.packs, probed.known_shapes, probed.shape_fetch = [], [], None
    shared = _sharing_updated_memory(probed.plan)
    outside = [place for place in places if not in_frame(place[0])]
    early = [place for place in outside if place[0].index in shared]
    probed.before, probed.before_fetch = pack(early, shapes, probed.level, probed.whole)
    add_fetched(probed, [place for place in outside if place[0].index not in shared], shapes)
    add_staged(probed, [place for place in places if in_frame(place[0])])
    _add_calls(probed)


def _constants(plan: Plan, level: Level, whole: Whole) -> dict[tuple[int, int], TensorFact]:
    from tensorflow.python.framework import tensor_util

    found = {}
    for node in plan.nodes:
        if node.op.type == "Const":
            value = tensor_util.constant_value(node.op.outputs[0])
            if value is not None:
                dtype = dtype_word(node.op.outputs[0].dtype)
                wanted: Level = "stats" if level == "health" and (node.index, 0) in whole.places else level
                found[node.index, 0] = array_fact(np.asarray(value), wanted, dtype=dtype, device=node.device)
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
            if (node.index, output) in probed.spared:
                continue
            if dtype_word(tensor.dtype) in MEASURED and not (output and in_frame(node)):
                yield node, output, tensor


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


def _add_calls(probed: Probed) -> None:
    """Fetch the inputs of the functions that can be run once more, op by op."""
    import tensorflow as tf

    plan = probed.plan
    fed = {id(tensor) for tensor in plan.feeds}
    assigned = {node.inputs[0].name for node in plan.nodes if node.op.type == "AssignVariableOp"}
    writing = {node.index: _written(plan, node) for node in plan.nodes if is_call(node.op)}
    for node in plan.nodes:
        if not is_call(node.op) or not probed.recorded[node.index] or in_frame(node):
            continue
        written = writing[node.index]
        if written is None:
            probed.closed[node.op.name] = "what it calls is random or changes more than its own variables"
            continue
        others = assigned.union(*(names for index, names in writing.items() if names and index != node.index))
        found: list[CallInput] = []
        for tensor in node.op.inputs:
            if id(tensor) in fed:
                found.append(CallInput("feed", 0, tensor))
            elif tensor.op.type == "VarHandleOp" and tensor.op.name not in others:
                found.append(CallInput("read", len(probed.reads), tensor))
                probed.reads.append(read_of(tensor))
            elif not tensor.dtype._is_ref_dtype and tensor.dtype not in (tf.resource, tf.variant):
                found.append(CallInput("fetch", len(probed.fetches), tensor))
                probed.fetches.append(tensor)
            elif not tensor.dtype._is_ref_dtype and _add_sources(probed, tensor, fed):
                found.append(CallInput("made", 0, tensor))
        if len(found) == len(node.op.inputs):
            probed.calls[node.index] = found
        else:
            probed.closed[node.op.name] = "it is given something that can't be fetched"


def _written(plan: Plan, node: PlanNode) -> set[str] | None:
    """Return the names of the variables that a call writes, None where it does more than that."""
    found = writes(plan.graph, node.op)
    return None if found is None else {node.op.inputs[position].op.name for position in found}


def _add_sources(probed: Probed, tensor: Any, fed: set[int]) -> bool:
    """Fetch what a list of tensors is made of, or take what a call gave; False where that is not known."""
    if probed.plan.index.get(tensor.op.name) in probed.calls:
        return True
    sources = sources_of(tensor)
    if sources is None:
        return False
    for one in sources:
        if is_variant(one):
            maker = probed.plan.index.get(one.op.name)
            if maker not in probed.calls:
                return False
        elif id(one) in fed:
            probed.sources[id(one)] = CallInput("feed", 0, one)
        elif id(one) not in probed.sources:
            probed.sources[id(one)] = CallInput("fetch", len(probed.fetches), one)
            probed.fetches.append(one)
    return True
