"""Why a session run raised: the failing node, its operands as they were, and the nodes that made them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from tensorflow.python.framework import tensor_util
from tensorflow.python.framework.errors_impl import OpError, UnimplementedError

from graphdebug.backends.protocol import Elements, Sink
from graphdebug.backends.tensorflow.facts import array_fact, dtype_word, elements_of
from graphdebug.backends.tensorflow.messages import node_name, python_frames
from graphdebug.backends.tensorflow.sessions.asked import RunCall
from graphdebug.backends.tensorflow.sessions.bodies import Bodies, BodyError
from graphdebug.backends.tensorflow.sessions.calls import function_ops, is_call, is_pure
from graphdebug.backends.tensorflow.sessions.misuse import explain_misuse
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts, add_nodes
from graphdebug.backends.tensorflow.sessions.pipelines import failing_in_pipeline
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanInput, PlanNode, selected_ops
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.backends.tensorflow.sessions.pruned import infer_shapes, pruned_graph
from graphdebug.backends.tensorflow.sessions.replays import obstacle_of, replayable
from graphdebug.backends.tensorflow.sessions.runs import Runs
from graphdebug.backends.tensorflow.sessions.scaffold import building, read_of
from graphdebug.backends.tensorflow.sessions.scratch import is_variant, sources_of
from graphdebug.backends.tensorflow.sessions.staging import staged_records
from graphdebug.backends.tensorflow.sessions.telling import failure_of
from graphdebug.backends.tensorflow.sessions.whole import Whole
from graphdebug.model.event import Failure, Notice, Shape
from graphdebug.options import Options

__all__ = ["Failures"]

_ENDS = ("OutOfRangeError", "CancelledError")
"""Errors that end an input pipeline as a matter of course: they are told only when they leave the block."""

_Arrays = dict[tuple[int, int], tuple[np.ndarray, str]]
"""Arrays with their tensors' dtypes, by node index and output."""


class _Ended:
    """A run that came to the end of its data: told only if the program does not catch it."""

    def __init__(self, error: OpError, call: RunCall, runs: Runs, probed: Probed, name: str) -> None:
        self.kind = type(error).__name__
        self.message = str(error.message)
        self.call = replace(call, frame=None, ran_at=runs.writing.run_site(call))
        self.runs = runs
        self.probed = probed
        self.name = name


class Failures:
    """The exceptions of this recording that were not yet told."""

    def __init__(self, sink: Sink, options: Options) -> None:
        self._sink = sink
        self._options = options
        self._pending: list[tuple[weakref.ref[BaseException], Failure | _Ended]] = []

    def take(self, error: BaseException) -> Failure | None:
        """Return what is known of `error`, or of the one that TensorFlow replaced by it, once."""
        for one in (error, error.__cause__, error.__context__):
            found = next(
                (at for at, (ref, _) in enumerate(self._pending) if one is not None and ref() is one), None
            )
            if found is not None:
                _, failure = self._pending.pop(found)
                return _with_frames(self._told(failure), self._sink.sites.of_error(error))
        return explain_misuse(error, self._sink)

    def flush(self) -> None:
        """Emit the failures of errors that the user has caught."""
        if not self._pending:
            return
        told = [failure for _, failure in self._pending if isinstance(failure, Failure)]
        self._pending.clear()
        self._sink.emit(told)

    def of_run(
        self, error: Any, call: RunCall, runs: Runs, run: Callable[..., Any], prepared: Probed | None
    ) -> None:
        """Read a run that raised: emit the nodes that led to the failing one, and keep the failure."""
        probed = prepared or runs.plans.plain(call)
        name = error.op.name if error.op is not None else node_name(str(error.message))
        in_pipeline = failing_in_pipeline(call.session.graph, str(error.message))
        if in_pipeline is not None:
            self._of_pipeline(error, call, runs, probed, *in_pipeline)
            return
        node = probed.plan.node(name)
        if type(error).__name__ in _ENDS and not python_frames(str(error.message)):
            self._pending.append((weakref.ref(error), _Ended(error, call, runs, probed, name)))
            return
        inner = node is None or is_call(node.op)
        if node is None:
            node = _caller(probed.plan, name)
        if node is None:
            self.keep(error, failure_of(self._sink, error, runs.writing, call, name))
            return
        node, wanted, shapes = _culprit(probed.plan, node, call)
        replayed = self._replay(run, call, probed.plan, node, wanted, shapes)
        level = self._options.level
        measured = {place: array_fact(array, level, dtype=dtype) for place, (array, dtype) in replayed.items()}
        traced = _traced(probed, wanted, measured, level)
        facts = RunFacts(traced, measured, runs.writing.feed_facts(call, Whole()), shapes)
        writer = runs.writing.writer(call, facts)
        add_nodes(writer, facts, staged_records(run, call.session, probed, level))
        elements = [] if inner else [_elements(one, call, replayed) for one in node.inputs]
        if inner:
            node, facts, writer = self._opened(name, node, facts, writer, call, runs, run)
        seq = writer.add(node, "raised")
        self._sink.emit(writer.events)
        self.keep(
            error, failure_of(self._sink, error, runs.writing, call, node.op.name, node, facts, seq, elements)
        )

    def _of_pipeline(
        self, error: Any, call: RunCall, runs: Runs, probed: Probed, op: Any, dataset: Any
    ) -> None:
        """Keep the failure of an op in a function of tf.data's, with what led to it there."""
        writer = runs.writing.writer(call, RunFacts(probed, {}, {}, {}))
        found = runs.plans.bodies(call.session.graph).tell(op, dataset.name, writer)
        seq = writer.for_facts(found.facts).add(found.node, "raised", prefix=dataset.name)
        self._sink.emit(writer.events)
        self.keep(
            error, failure_of(self._sink, error, runs.writing, call, op.name, found.node, found.facts, seq)
        )

    def _opened(
        self, name: str, node: PlanNode, facts: RunFacts, writer: NodeWriter, call: RunCall, runs: Runs,
        run: Callable[..., Any],
    ) -> tuple[PlanNode, RunFacts, NodeWriter]:  # fmt: skip
        """Return the failing node inside what `node` calls, which is run again if that changes nothing."""
        graph = call.session.graph
        if not is_pure(graph, node.op):
            text = f"{node.op.name} was not opened: what it calls changes state or is random"
            self._sink.emit([Notice(self._sink.next_seq(), "replay", text)])
            return _located(name, node, facts, writer, runs.plans.bodies(graph))
        try:
            values = _input_values(node, call, run, runs.plans.bodies(graph))
            operands = [facts.operand(one) for one in node.inputs]
            runs.plans.bodies(graph).open(node, values, operands, writer)
        except BodyError as found:
            found.node.sites = found.node.sites or node.sites
            return found.node, found.facts, writer.for_facts(found.facts)
        except OpError:
            pass
        return _located(name, node, facts, writer, runs.plans.bodies(graph))

    def keep(self, error: BaseException, failure: Failure) -> None:
        """Hold a failure until its error leaves the block, or is seen to have been caught."""
        self._pending.append((weakref.ref(error), failure))

    def _told(self, failure: Failure | _Ended) -> Failure:
        """Return a failure; the nodes that led to an end that was not caught are written only now."""
        if isinstance(failure, Failure):
            return failure
        probed, call, runs = failure.probed, failure.call, failure.runs
        node = probed.plan.node(failure.name)
        if node is None:
            return failure_of(self._sink, failure, runs.writing, call, failure.name)
        feeds = [ref.deref() for ref in call.feeds]
        wanted = {op.name for op in selected_ops([node.op], feeds)} - {node.op.name}
        facts = RunFacts(
            _traced(probed, wanted, {}, self._options.level), {}, runs.writing.feed_facts(call, Whole()), {}
        )
        writer = runs.writing.writer(call, facts)
        add_nodes(writer, facts, ())
        seq = writer.add(node, "raised")
        self._sink.emit(writer.events)
        return failure_of(self._sink, failure, runs.writing, call, failure.name, node, facts, seq)

    def _replay(
        self, run: Callable[..., Any], call: RunCall, plan: Plan, node: PlanNode, wanted: set[str],
        shapes: Mapping[str, Sequence[Shape | None]],
    ) -> _Arrays:  # fmt: skip
        """Fetch what led to the failing node once more, if that changes nothing and gives the same."""
        obstacle = obstacle_of(plan, wanted, node)
        if obstacle:
            text = f"what led to {node.op.name} was not run again: {obstacle}; shapes are inferred"
            self._sink.emit([Notice(self._sink.next_seq(), "replay", text)])
            return {}
        places = replayable(plan, wanted, shapes)
        try:
            arrays = run(call.session, None, [], [tensor for _, _, tensor in places], call.feeds, None, None)
        except Exception:
            return {}
        return {
            (index, output): (np.asarray(array), dtype_word(tensor.dtype))
            for (index, output, tensor), array in zip(places, arrays, strict=True)
        }


def _elements(one: PlanInput, call: RunCall, replayed: _Arrays) -> Elements | None:
    """Return the elements of an operand that was fed, fetched again, or is a constant of the graph."""
    dtype = dtype_word(one.tensor.dtype)
    fed = call.feeds.get(one.tensor.ref())
    if fed is not None:
        return elements_of(np.asarray(fed, one.tensor.dtype.as_numpy_dtype), dtype)
    found = None if one.node is None else replayed.get((one.node, one.output))
    if found is not None:
        return elements_of(found[0], dtype)
    constant = one.tensor.op.type == "Const"
    return elements_of(tensor_util.constant_value(one.tensor), dtype) if constant else None


def _caller(plan: Plan, name: str) -> PlanNode | None:
    """Return the plan's node that calls the function which has the op that the runtime calls `name`.

    A function is inlined under its caller's name, a loop's body under names that end in a number.
    """
    calls = [node for node in plan.nodes if is_call(node.op)]
    for node in calls:
        if name.startswith(f"{node.op.name}/"):
            return node
    last = name.rpartition("/")[2]
    for node in calls:
        inside = {op.name.rpartition("/")[2] for op in function_ops(plan.graph, node.op)}
        if last in inside:
            return node
    return None


def _located(
    name: str, node: PlanNode, facts: RunFacts, writer: NodeWriter, bodies: Bodies
) -> tuple[PlanNode, RunFacts, NodeWriter]:
    """Return the op inside what `node` calls that the runtime calls `name`, without running anything."""
    inner = bodies.locate(node, name, [facts.operand(one) for one in node.inputs], writer)
    if inner is None or is_call(inner.node.op):
        return node, facts, writer
    inner.node.sites = inner.node.sites or node.sites
    return inner.node, inner.facts, writer.for_facts(inner.facts)


def _input_values(node: PlanNode, call: RunCall, run: Callable[..., Any], bodies: Bodies) -> list[Any]:
    """Return the values of a call's inputs as they were in the run that failed.

    Raises:
        OpError: they can't be had: one is a list of tensors that another loop made.

    """
    fed = {id(ref.deref()): value for ref, value in call.feeds.items()}
    lists = {id(one): sources_of(one) or [] for one in node.op.inputs if is_variant(one)}
    needed = [one for one in node.op.inputs if id(one) not in lists]
    needed += [one for sources in lists.values() for one in sources]
    if any(map(is_variant, needed)):
        raise UnimplementedError(None, None, "a list of tensors is fetched")
    needed = list({id(one): one for one in needed if id(one) not in fed}.values())
    with building(call.session.graph):
        reads = [read_of(one) if one.op.type == "VarHandleOp" else one for one in needed]
    found = run(call.session, None, [], reads, call.feeds, None, None) if reads else ()
    known = fed | {id(one): value for one, value in zip(needed, found, strict=True)}
    return [bodies.make(one, known) if id(one) in lists else known[id(one)] for one in node.op.inputs]


def _culprit(
    plan: Plan, node: PlanNode, call: RunCall
) -> tuple[PlanNode, set[str], Mapping[str, Sequence[Shape | None]]]:
    """Return the node that failed, the names of its ancestors and their shapes.

    The runtime names a fused op by its last node: if the shapes of an ancestor do not fit, it was that one.
    """
    feeds = [ref.deref() for ref in call.feeds]
    if node.op.type == "BroadcastGradientArgs" and node.forward is not None:
        node = plan.nodes[
            node.forward
        ]  # its shapes don't broadcast in forward either; TensorFlow got here first
    for _ in range(len(plan.nodes)):
        wanted = {op.name for op in selected_ops([node.op], feeds)} - {node.op.name}
        ops = [one.op for one in plan.nodes if one.op.name in wanted]
        try:
            return node, wanted, infer_shapes(pruned_graph(plan.graph, ops, call.feed_shapes))
        except (ValueError, TypeError) as error:
            earlier = plan.node(node_name(str(error)))
        if earlier is None or earlier.op.name not in wanted:
            break
        node = earlier
    return node, wanted, {}


def _traced(probed: Probed, wanted: set[str], replayed: Mapping[tuple[int, int], Any], level: Any) -> Probed:
    """Return the plan with the nodes that led to the failure selected, and how each was seen."""
    nodes = probed.plan.nodes
    seen = {index for index, _ in replayed}
    return Probed(
        probed.plan,
        level,
        ["executed" if node.index in seen else "inferred" for node in nodes],
        [node.op.name in wanted for node in nodes],
        probed.known,
    )


def _with_frames(failure: Failure, frames: tuple[Any, ...]) -> Failure:
    return msgspec.structs.replace(failure, frames=(*frames, *failure.frames))
