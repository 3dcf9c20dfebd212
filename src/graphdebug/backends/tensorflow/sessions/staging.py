"""Staging: sinks inside the loops and branches of control flow v1, and the iteration that each record is of.

What runs in a frame can't be fetched. A sink beside a node stages what is measured of it, each time it runs,
with the counters of the loops it is in: sinks run when TensorFlow gets to them, and iterations overlap
(`parallel_iterations`), so the order in which records arrive says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from graphdebug.backends.tensorflow.facts import dtype_word
from graphdebug.backends.tensorflow.sessions.plan import PlanNode
from graphdebug.backends.tensorflow.sessions.probed import Measured, Probed
from graphdebug.backends.tensorflow.sessions.probes import build_probe, decode, width
from graphdebug.backends.tensorflow.sessions.scaffold import SCOPE, remembered
from graphdebug.model.event import Level, TensorFact

__all__ = ["Record", "add_staged", "staged_records"]

_numbers = count()


@dataclass(frozen=True, slots=True)
class Record:
    """One execution of a node in a frame."""

    node: int
    """Index of the plan's node."""
    iteration: tuple[int, ...]
    """Of each loop it is in, outermost first."""
    fact: TensorFact
    """Of its first output."""


def add_staged(probed: Probed, places: Sequence[tuple[PlanNode, int, Any]]) -> None:
    """Put sinks into loops and branches."""
    import tensorflow as tf

    if not places:
        return
    graph, area = probed.plan.graph, f"{SCOPE}_{next(_numbers)}"
    counters = _Counters(graph)
    for key, (node, output, tensor) in enumerate(places):
        context = node.op._get_control_flow_context()
        iteration = counters.of(context)
        with _inside(graph, context, waits_for_body=node.repeats_less):
            level = probed.whole.level(probed.level, node, output)
            numbers = build_probe(tensor, level, 0, key)
            probed.targets.append(tf.raw_ops.Stage(values=[numbers, iteration], shared_name=area))
        dtype = dtype_word(tensor.dtype)
        probed.staged.append(Measured(node.index, output, dtype, 0, width(level, dtype), level=level))
    dtypes = [tf.float64, tf.int32]
    probed.staged_size = tf.raw_ops.StageSize(dtypes=dtypes, shared_name=area)
    probed.unstage = tuple(tf.raw_ops.Unstage(dtypes=dtypes, shared_name=area))


def staged_records(run: Callable[..., Any], session: Any, probed: Probed, level: Level) -> list[Record]:
    """Empty the staging area of a run: what ran inside its frames, iteration by iteration."""
    if not probed.staged:
        return []
    (size,) = run(session, None, [], [probed.staged_size], {}, None, None)
    found = []
    for _ in range(int(size)):
        numbers, iteration = run(session, None, [], list(probed.unstage), {}, None, None)
        one = probed.staged[int(numbers[0])]
        fact = decode(numbers.tolist(), one.level or level, one.dtype, probed.plan.nodes[one.node].device, None)
        found.append(Record(one.node, tuple(iteration.tolist()), fact))
    return sorted(found, key=lambda record: (record.iteration, record.node))


class _Counters:
    """Counts, in each frame, the iterations that its loop has done."""

    def __init__(self, graph: Any) -> None:
        import tensorflow as tf

        self._graph = graph
        with graph.control_dependencies(None):  # outside every frame
            make = tf.constant
            self._none = remembered(graph, "iteration", "none", lambda: make([], tf.int32, [0]))
            self._zero = remembered(graph, "iteration", "zero", lambda: make([0], tf.int32))
            self._one = remembered(graph, "iteration", "one", lambda: make([1], tf.int32))
            self._axis = remembered(graph, "iteration", "axis", lambda: make(0, tf.int32))

    def of(self, context: Any) -> Any:
        """Return, for ops in a control flow context, a vector: the iteration of each loop, outermost first."""
        while context is not None and not context.IsWhileContext():
            context = context.outer_context
        if context is None:
            return self._none
        return remembered(self._graph, context.name, "iteration", lambda: self._count(context))

    def _count(self, context: Any) -> Any:
        """Add a loop variable of our own to the loop of `context`; nothing of the user's is changed."""
        import tensorflow as tf
        from tensorflow.python.ops import gen_control_flow_ops as flow

        outer = self.of(context.outer_context)
        with _inside(self._graph, context, waits_for_body=False):
            name, parallel = context.name, context.parallel_iterations
            with _inside(self._graph, context.outer_context, waits_for_body=True):
                start = tf.identity(self._zero)
            context.AddName(start.name)
            first = flow.enter(start, frame_name=name, is_constant=False, parallel_iterations=parallel)
            merged = flow.merge([first, first])[0]
            going_on = flow.switch(merged, context.pivot)[1]
            after = flow.next_iteration(tf.add(going_on, self._one))
            merged.op._update_input(1, after)
            return tf.raw_ops.ConcatV2(values=[outer, merged], axis=self._axis)


@contextmanager
def _inside(graph: Any, context: Any, *, waits_for_body: bool) -> Iterator[None]:
    """Build ops in a control flow context; in a loop, either in its body or where it decides to go on."""
    before = graph._get_control_flow_context()
    graph._set_control_flow_context(context)
    deciding = context is not None and context.IsWhileContext() and not waits_for_body
    body = context._pivot_for_body if deciding else None
    try:
        if deciding:
            context._pivot_for_body = None  # constants wait for the pivot: that of the condition, then
        yield
    finally:
        if deciding:
            context._pivot_for_body = body
        graph._set_control_flow_context(before)
