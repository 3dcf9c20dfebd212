"""One call of `Session.run`: probed, executed, read back and written down."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tensorflow.python.framework import errors_impl

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.facts import array_fact
from graphdebug.backends.tensorflow.packs import CODES, kernel
from graphdebug.backends.tensorflow.sessions import metadata as run_metadata
from graphdebug.backends.tensorflow.sessions.asked import RunCall, is_step
from graphdebug.backends.tensorflow.sessions.gradients import plan_gradients
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts, add_nodes
from graphdebug.backends.tensorflow.sessions.opening import Opening
from graphdebug.backends.tensorflow.sessions.parts import Parts
from graphdebug.backends.tensorflow.sessions.plans import Plans
from graphdebug.backends.tensorflow.sessions.probed import Probed, shapes_key
from graphdebug.backends.tensorflow.sessions.repeats import Repeat
from graphdebug.backends.tensorflow.sessions.staging import staged_records
from graphdebug.backends.tensorflow.sessions.writing import Writing
from graphdebug.model.event import Event, Level
from graphdebug.options import Options

__all__ = ["Runs"]

_KINDS = 64
"""Kinds of runs of a plan that are kept as patterns."""
_FLOAT_CODES = {"f": CODES["float32"], "d": CODES["float64"], "e": CODES["float16"]}
_RETVAL = re.compile(r"\{\{node _retval_\S*_(\d+)\}\}|Retval\[(\d+)\] does not have value")
"""How the runtime names a fetch, by its position."""


class Runs:
    """Executes and records the runs of all sessions."""

    def __init__(self, sink: Sink, options: Options) -> None:
        self._sink = sink
        self._options = options
        looks = options.tf_debugging or options.break_on is not None
        self._level: Level = "health" if looks and options.level == "shapes" else options.level
        self.plans = Plans(sink, options, self._level)
        self.writing = Writing(sink, self._level)
        self.parts = Parts(sink, self.plans, self.writing, self._level)

    def passes(self, session: Any, fetches: Sequence[Any], targets: Sequence[Any]) -> bool:
        """Whether nothing of this call is to be recorded, as is known at once."""
        if not self._sink.recording:
            self.plans.ask(session.graph, fetches, targets)
            return True
        return self.plans.passes(session, fetches, targets)

    def prepare(self, call: RunCall, options: Any = None) -> Probed | None:
        """Return what to run in place of `call`, or None to run it as it is."""
        if not self._sink.recording:
            return None
        self.parts.end()
        if options is not None and run_metadata.has_watches(options):
            return self.plans.unprobed(call)
        probed = self.plans.of(call)
        if probed.broken or probed.idle:
            return None
        call.kind = self._kind(call, probed)
        call.like = probed.alike.get(call.kind)
        call.checks = call.like is None and probed.wants_check(call.feed_shapes)
        return probed

    def execute(
        self, run: Callable[..., Any], call: RunCall, probed: Probed | None, options: Any, metadata: Any
    ) -> list[Any]:
        """Run `call` with the probes' fetches after the user's own."""
        if probed is not None:
            call.reads = _read_before(run, call, probed.reads) if probed.reads else ()
            if probed.before_fetch is not None:
                (call.before,) = _read_before(run, call, [probed.before_fetch]) or (None,)
        else:
            found = run(call.session, None, call.targets, call.fetches, call.feeds, options, metadata)
            return list(found)
        fetches, targets = [*call.fetches, *probed.fetches], [*call.targets, *probed.targets]
        if call.checks:
            fetches.append(probed.shape_fetch)
        if call.checks in probed.verified or options is not None or metadata is not None:
            return list(run(call.session, None, targets, fetches, call.feeds, options, metadata))
        probed.verified.add(call.checks)
        with run_metadata.partition_graphs() as asked:
            results = list(run(call.session, None, targets, fetches, call.feeds, asked.options, asked.metadata))
            before = list(probed.execution)
            told = run_metadata.verify(asked.graphs(), probed, self._sink)
        if before != probed.execution or not call.like:
            self._sink.emit(told)
            probed.alike.clear()
            call.like = None
        return results

    def is_ours(self, error: Any, probed: Probed, asked: int) -> bool:
        """Whether one of our probes failed and not the user's graph; this plan is never probed again then."""
        message = str(error.message or "")
        fetched = _RETVAL.search(message)
        of_ours = fetched is not None and int(fetched.group(1) or fetched.group(2)) >= asked
        if not probed.fetches or not ("{{node graphdebug/" in message or of_ours):
            return False
        probed.broken = True
        return True

    def record(
        self, run: Callable[..., Any], call: RunCall, probed: Probed | None, extra: Sequence[Any]
    ) -> Sequence[Event]:
        """Write down what a finished run executed, and return it."""
        written: Sequence[Event] = ()
        if probed is not None:
            written = self._events(run, call, probed, extra)
            self._sink.emit(written)
            if self._level != "shapes":
                self.plans.feed(call)
        if is_step(call.fetches, call.targets, call.frame):
            self._sink.advance_step()
        return written

    def _events(
        self, run: Callable[..., Any], call: RunCall, probed: Probed, extra: Sequence[Any]
    ) -> Sequence[Event]:
        """Return the events of a finished run, made from those of a run like it if there was one."""
        texts = None if call.like is None else call.like.texts(extra, call.before)
        if texts is not None and call.like is not None:
            pattern = call.like.pattern
            return pattern.again(self._sink.next_seqs(pattern.size), self._sink.step, texts)
        feed_shapes = call.feed_shapes
        shapes = probed.inferred_shapes(feed_shapes)
        if call.checks and not self._checked(call, probed, extra[-1], shapes):
            shapes = {}
        measured = probed.read(extra, shapes)
        if call.before is not None:
            measured |= probed.decode(probed.before, call.before, shapes)
        facts = RunFacts(
            probed, dict(measured), self.writing.feed_facts(call, probed.whole), shapes, probed.outer
        )
        writer = self.writing.writer(call, facts)
        self._add_nodes(run, call, facts, extra, writer)
        writer.add_gradients(plan_gradients(probed.plan, self._options.gradients))
        events = writer.events
        if shapes and events and probed.repeats and events[-1].seq - events[0].seq == len(events) - 1:
            if len(probed.alike) >= _KINDS:
                probed.alike.clear()
            probed.alike[call.kind] = Repeat(probed, shapes, events, measured, extra, call.before)
        return events

    def _add_nodes(
        self, run: Callable[..., Any], call: RunCall, facts: RunFacts, extra: Sequence[Any], writer: NodeWriter
    ) -> None:
        """Add all nodes of a finished run, those inside the functions that it called included."""
        probed = facts.probed
        staged = staged_records(run, call.session, probed, self._level)
        if not probed.calls and not probed.closed:
            add_nodes(writer, facts, staged)
            return
        bodies = self.plans.bodies(call.session.graph)
        with bodies.lock:
            opening = Opening(bodies, facts, writer, call.feeds, extra, call.reads)
            add_nodes(writer, facts, staged, opening.open)

    def _checked(self, call: RunCall, probed: Probed, numbers: np.ndarray, shapes: Any) -> bool:
        """Whether the shapes of a run were the inferred ones; if not, the next run is probed otherwise."""
        probed.check(numbers, shapes)
        if not probed.distrusted:
            probed.checked.add(shapes_key(call.feed_shapes))
            return True
        self.plans.distrust(call, probed)
        return False

    def _kind(self, call: RunCall, probed: Probed) -> Any:
        """Return what has to be the same in a run like `call`: the line, the thread, what is known of feeds."""
        position = self._sink.sites.position(call.frame)
        look = self._level != "shapes"
        feeds = [(value.shape, look and _finite(value)) for value in map(np.asarray, call.feeds.values())]
        whole = [ref.deref() for ref in call.feeds] if probed.whole.feeds else ()
        facts = self.writing.feed_facts(call, probed.whole) if whole else {}
        return position, call.thread, tuple(feeds), tuple([
            facts[id(one)].stats for one in whole if id(one) in probed.whole.feeds
        ])  # fmt: skip


def _finite(value: np.ndarray) -> bool | None:
    """Whether a fed array is finite; None where it can't be otherwise."""
    if value.dtype.kind in "iub":
        return None
    code = _FLOAT_CODES.get(value.dtype.char)
    if code is None or kernel is None or not value.flags.c_contiguous:
        return array_fact(value, "health").finite
    return bool(kernel.all_finite(value, code))


def _read_before(run: Callable[..., Any], call: RunCall, tensors: Sequence[Any]) -> Sequence[Any] | None:
    """Read variables before an update in the same run can change them; None if they can't be read."""
    try:
        return list(run(call.session, None, [], tensors, call.feeds, None, None))
    except errors_impl.OpError:
        return None  # not initialized yet: the run itself will say so
