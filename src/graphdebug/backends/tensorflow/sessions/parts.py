"""Partial runs: each adds nodes to those before it on its handle, and all of them are one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.facts import array_fact, dtype_word
from graphdebug.backends.tensorflow.sessions.asked import RunCall
from graphdebug.backends.tensorflow.sessions.nodes import RunFacts, add_nodes
from graphdebug.backends.tensorflow.sessions.plans import Plans
from graphdebug.backends.tensorflow.sessions.probed import Measured, Probed
from graphdebug.backends.tensorflow.sessions.replays import obstacle_of, replayable
from graphdebug.backends.tensorflow.sessions.whole import whole_numbers
from graphdebug.backends.tensorflow.sessions.writing import Writing
from graphdebug.model.event import Event, Level

__all__ = ["Parts"]


class Parts:
    """The partial runs of all sessions.

    Args:
        sink: where nodes go.
        plans: of the graphs.
        writing: makes the writer of a call's nodes.
        level: what to record of each tensor.

    """

    def __init__(self, sink: Sink, plans: Plans, writing: Writing, level: Level) -> None:
        self._sink = sink
        self._plans = plans
        self._writing = writing
        self._level = level
        self._partial: dict[Any, tuple[set[str], dict[Any, Any]]] = {}
        self._in_parts: Any = None
        """Handle of the partial runs that make up the step that is going on."""

    def whole_of(self, handle: Any, call: RunCall) -> RunCall | None:
        """Return a `partial_run` with all that was fed on its handle so far; None if not recorded."""
        self._plans.ask(call.session.graph, call.fetches, call.targets)
        if not self._sink.recording:
            return None
        self.end(handle)
        _, feeds = self._partial.setdefault(handle, (set(), {}))
        feeds.update(call.feeds)
        return replace(call, feeds=dict(feeds))

    def end(self, handle: Any = None) -> None:
        """A run begins, of a handle or whole: the partial runs of another handle were a step."""
        if self._in_parts is not None and self._in_parts != handle:
            self._sink.advance_step()
        self._in_parts = handle

    def record(self, run: Callable[..., Any], handle: Any, call: RunCall) -> Sequence[Event]:
        """Write down what one `partial_run` added to the ones before it on the same handle.

        What a partial run may fetch was said beforehand, so nothing can be looked at in it. Where its nodes
        change nothing and give the same again, they run once more, in a run of their own, for their numbers.
        """
        plan = self._plans.plan(call)
        done, _ = self._partial[handle]
        recorded = [
            one and node.op.name not in done
            for one, node in zip(self._plans.selected(plan), plan.nodes, strict=True)
        ]
        done.update(plan.index)
        probed = Probed(plan, "shapes", ["inferred"] * len(plan.nodes), recorded, {})
        shapes = probed.inferred_shapes(call.feed_shapes)
        level, measured = self._level, {}
        if level != "shapes" and not call.targets and not obstacle_of(plan, plan.index):
            places = [one for one in replayable(plan, plan.index, shapes) if recorded[one[0]]]
            arrays = run(call.session, None, [], [tensor for _, _, tensor in places], call.feeds, None, None)
            whole = probed.whole = whole_numbers(plan)
            measured = {
                (index, output): array_fact(
                    np.asarray(array),
                    whole.level(level, plan.nodes[index], output),
                    dtype=dtype_word(tensor.dtype),
                )
                for (index, output, tensor), array in zip(places, arrays, strict=True)
            }
        for (index, output), fact in measured.items():
            probed.execution[index] = "executed"
            probed.measured.append(Measured(index, output, fact.dtype, 0, 0))
        facts = RunFacts(probed, measured, self._writing.feed_facts(call, probed.whole), shapes)
        writer = self._writing.writer(call, facts)
        add_nodes(writer, facts, ())
        self._sink.emit(writer.events)
        return writer.events
