"""One call of `Session.run`: planned and probed, executed, read back and written down."""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import CodeType, FrameType
from typing import Any

import numpy as np

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.facts import array_fact, dtype_word
from graphdebug.backends.tensorflow.packs import CODES, Place, kernel
from graphdebug.backends.tensorflow.sessions import metadata as run_metadata
from graphdebug.backends.tensorflow.sessions.bodies import Bodies
from graphdebug.backends.tensorflow.sessions.declarations import Declarations
from graphdebug.backends.tensorflow.sessions.gradients import plan_gradients
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts, add_nodes
from graphdebug.backends.tensorflow.sessions.opening import Opening
from graphdebug.backends.tensorflow.sessions.placement import probe_plan
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanNode, make_plan
from graphdebug.backends.tensorflow.sessions.probed import Measured, Probed, shapes_key
from graphdebug.backends.tensorflow.sessions.repeats import Repeat
from graphdebug.backends.tensorflow.sessions.replays import obstacle_of, replayable
from graphdebug.backends.tensorflow.sessions.staging import staged_records
from graphdebug.model.event import Event, Level, Notice, Shape, Site, TensorFact
from graphdebug.options import Options

__all__ = ["RunCall", "Runs", "is_step"]

_CACHE = "_graphdebug"
"""Attribute of a `tf.Graph` that holds its plans while it is recorded: they live and die with the graph."""


_KINDS = 64
"""Kinds of runs of a plan that are kept as patterns."""
_FLOAT_CODES = {"f": CODES["float32"], "d": CODES["float64"], "e": CODES["float16"]}
_RETVAL = re.compile(r"\{\{node _retval_\S*_(\d+)\}\}|Retval\[(\d+)\] does not have value")
"""How the runtime names a fetch, by its position."""
_TENSORFLOW = f"{os.sep}tensorflow{os.sep}python{os.sep}"
_HOUSEKEEPING = ("session_manager.py", "saver.py", "basic_session_run_hooks.py")
"""Modules of TensorFlow that run things for a training loop's sake."""
_OTHER, _FRAMEWORK, _KEEPING_HOUSE = 0, 1, 2
_kinds_of_code: dict[CodeType, int] = {}


@dataclass(slots=True)
class RunCall:
    """What the user asked a session to do."""

    session: Any
    fetches: Sequence[Any]
    targets: Sequence[Any]
    feeds: Mapping[Any, Any]
    """Fed arrays by ``Tensor.ref()``."""
    frame: FrameType | None
    thread: int
    ran_at: Site | None = None
    """The user's line that ran it, where the frame is not kept."""
    reads: Sequence[Any] | None = None
    """Values of `Probed.reads` before the run, where they could be read."""
    before: Any = None
    """Numbers of `Probed.before_fetch`, likewise."""
    kind: Any = None
    """What it has in common with runs like it."""
    like: Repeat | None = None
    """An earlier run like it."""
    checks: bool = False
    """Whether the shapes that it had are fetched, to be held against the inferred ones."""

    @property
    def feed_shapes(self) -> dict[Any, Shape]:
        """Shapes of the fed arrays by ``Tensor.ref()``."""
        return {ref: tuple(np.shape(value)) for ref, value in self.feeds.items()}


def is_step(fetches: Sequence[Any], targets: Sequence[Any], frame: FrameType | None) -> bool:
    """Whether a run is a step of the user's, not one that fills a queue, initializes, saves or restores."""
    if not fetches and all("Enqueue" in op.type or "QueueClose" in op.type for op in targets):
        return False
    while frame is not None:
        kind = _kinds_of_code.get(frame.f_code)
        if kind is None:
            kind = _kinds_of_code[frame.f_code] = _kind_of_file(frame.f_code.co_filename)
        if kind != _FRAMEWORK:
            return kind == _OTHER
        frame = frame.f_back
    return True


def _kind_of_file(filename: str) -> int:
    if _TENSORFLOW not in filename:
        return _OTHER
    return _KEEPING_HOUSE if filename.endswith(_HOUSEKEEPING) else _FRAMEWORK


@dataclass(slots=True)
class _GraphCache:
    """What is kept of one graph while it is recorded."""

    plans: dict[Any, Probed] = field(default_factory=dict)
    routes: dict[Any, Probed] = field(default_factory=dict)
    """The same plans, by what is quicker to make of a call."""
    idle: set[Any] = field(default_factory=set)
    """Fetches and targets that need no node that the user wants to see, whatever is fed."""
    distrusted: dict[Any, set[Place]] = field(default_factory=dict)
    """Tensors of a plan whose shapes were not the inferred ones."""
    bodies: Bodies | None = None
    told_of_watches: bool = False


class Runs:
    """Plans, prepares, executes and records the runs of all sessions."""

    def __init__(self, sink: Sink, options: Options) -> None:
        self._sink = sink
        self._options = options
        looks = options.tf_debugging or options.break_on is not None
        self._level: Level = "health" if looks and options.level == "shapes" else options.level
        self._declarations = Declarations(sink)
        self._lock = threading.RLock()
        self._graphs: weakref.WeakSet[Any] = weakref.WeakSet()
        self._partial: dict[Any, tuple[set[str], dict[Any, Any]]] = {}
        self._in_parts: Any = None
        """Handle of the partial runs that make up the step that is going on."""

    def forget(self) -> None:
        """Drop all plans."""
        for graph in list(self._graphs):
            cache = getattr(graph, _CACHE, None)
            if cache is not None:
                delattr(graph, _CACHE)
                if cache.bodies is not None:
                    cache.bodies.close()

    def passes(self, session: Any, fetches: Sequence[Any], targets: Sequence[Any]) -> bool:
        """Whether nothing of this call is to be recorded, as is known at once."""
        if not self._sink.recording:
            return True
        cache = getattr(session.graph, _CACHE, None)
        return cache is not None and bool(cache.idle) and _roots(fetches, targets) in cache.idle

    def prepare(self, call: RunCall, options: Any = None) -> Probed | None:
        """Return what to run in place of `call`, or None to run it as it is."""
        if not self._sink.recording:
            return None
        self._end_parts(None)
        if options is not None and run_metadata.has_watches(options):
            return self._unprobed(call)
        cache: _GraphCache | None = getattr(call.session.graph, _CACHE, None)
        route = (_roots(call.fetches, call.targets), tuple([id(ref.deref()) for ref in call.feeds]))
        probed = None if cache is None else cache.routes.get(route)
        if probed is None:
            with self._lock:
                probed = self._cache(call.session.graph).routes[route] = self._probed(call)
        if probed.broken or probed.idle:
            return None
        call.kind = self._kind(call)
        call.like = probed.alike.get(call.kind)
        call.checks = call.like is None and probed.wants_check(call.feed_shapes)
        return probed

    def execute(
        self, run: Callable[..., Any], call: RunCall, probed: Probed | None, options: Any, metadata: Any
    ) -> list[Any]:
        """Run `call` with the probes' fetches after the user's own."""
        if probed is not None:
            call.reads = _read_before(run, call, probed.reads)
            if probed.before_fetch is not None:
                (call.before,) = _read_before(run, call, [probed.before_fetch]) or (None,)
        if probed is None:
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
        facts = RunFacts(probed, dict(measured), self.feed_facts(call), shapes)
        writer = self.writer(call, facts)
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
        if not probed.calls:
            add_nodes(writer, facts, staged)
            return
        bodies = self.bodies(call.session.graph)
        with bodies.lock:
            opening = Opening(bodies, facts, writer, call.feeds, extra, call.reads)
            add_nodes(writer, facts, staged, opening.open)

    def _checked(self, call: RunCall, probed: Probed, numbers: np.ndarray, shapes: Any) -> bool:
        """Whether the shapes of a run were the inferred ones; if not, the next run is probed otherwise."""
        probed.check(numbers, shapes)
        if not probed.distrusted:
            probed.checked.add(shapes_key(call.feed_shapes))
            return True
        with self._lock:
            cache = self._cache(call.session.graph)
            for key in [key for key, one in cache.plans.items() if one is probed]:
                cache.distrusted[key] = probed.distrusted
                del cache.plans[key]
            cache.routes.clear()
        return False

    def _kind(self, call: RunCall) -> Any:
        """Return what has to be the same in a run like `call`: the line, the thread, what is known of feeds."""
        position = self._sink.sites.position(call.frame)
        look = self._level != "shapes"
        feeds = [(value.shape, look and _finite(value)) for value in map(np.asarray, call.feeds.values())]
        return position, call.thread, tuple(feeds)

    def bodies(self, graph: Any) -> Bodies:
        """Return the functions of `graph`."""
        cache = self._cache(graph)
        if cache.bodies is None:
            cache.bodies = Bodies(graph, self._sink.sites, self._level)
        return cache.bodies

    def whole_of(self, handle: Any, call: RunCall) -> RunCall | None:
        """Return a `partial_run` with all that was fed on its handle so far; None if not recorded."""
        if not self._sink.recording:
            return None
        self._end_parts(handle)
        _, feeds = self._partial.setdefault(handle, (set(), {}))
        feeds.update(call.feeds)
        return replace(call, feeds=dict(feeds))

    def _end_parts(self, handle: Any) -> None:
        """A run begins, of a handle or whole: the partial runs of another handle were a step."""
        if self._in_parts is not None and self._in_parts != handle:
            self._sink.advance_step()
        self._in_parts = handle

    def record_partial(self, run: Callable[..., Any], handle: Any, call: RunCall) -> Sequence[Event]:
        """Write down what one `partial_run` added to the ones before it on the same handle.

        What a partial run may fetch was said beforehand, so nothing can be looked at in it. Where its nodes
        change nothing and give the same again, they run once more, in a run of their own, for their numbers.
        """
        plan = self._plan(call)
        done, _ = self._partial[handle]
        recorded = [
            one and node.op.name not in done for one, node in zip(self._selected(plan), plan.nodes, strict=True)
        ]
        done.update(plan.index)
        probed = Probed(plan, "shapes", ["inferred"] * len(plan.nodes), recorded, {})
        shapes = probed.inferred_shapes(call.feed_shapes)
        level, measured = self._level, {}
        if level != "shapes" and not call.targets and not obstacle_of(plan, plan.index):
            places = [one for one in replayable(plan, plan.index, shapes) if recorded[one[0]]]
            arrays = run(call.session, None, [], [tensor for _, _, tensor in places], call.feeds, None, None)
            measured = {
                (index, output): array_fact(np.asarray(array), level, dtype=dtype_word(tensor.dtype))
                for (index, output, tensor), array in zip(places, arrays, strict=True)
            }
        for (index, output), fact in measured.items():
            probed.execution[index] = "executed"
            probed.measured.append(Measured(index, output, fact.dtype, 0, 0))
        facts = RunFacts(probed, measured, self.feed_facts(call), shapes)
        writer = self.writer(call, facts)
        add_nodes(writer, facts, ())
        self._sink.emit(writer.events)
        return writer.events

    def writer(self, call: RunCall, facts: RunFacts) -> NodeWriter:
        """Return a writer for the nodes of `call`."""
        return NodeWriter(self._sink, facts, self.run_site(call), call.thread)

    def run_site(self, call: RunCall) -> Site | None:
        """Return the user's line that ran `call`."""
        if call.frame is None:
            return call.ran_at
        position = self._sink.sites.position(call.frame)
        return None if position is None else self._sink.sites.resolve(position)

    def feed_facts(self, call: RunCall) -> dict[int, TensorFact]:
        """Return the facts of the fed arrays by tensor id."""
        level: Level = "shapes" if self._level == "shapes" else "health"
        return {
            id(ref.deref()): array_fact(np.asarray(value), level, dtype=dtype_word(ref.deref().dtype))
            for ref, value in call.feeds.items()
        }

    def plain(self, call: RunCall) -> Probed:
        """Return the plan of `call` without a probe, all nodes selected: what a failed run is read with."""
        plan = self._plan(call)
        count = len(plan.nodes)
        return Probed(plan, "shapes", ["inferred"] * count, [True] * count, {})

    def _probed(self, call: RunCall) -> Probed:
        plans = self._cache(call.session.graph).plans
        feeds = [ref.deref() for ref in call.feeds]
        key = (
            tuple([id(tensor) for tensor in call.fetches]),
            tuple([id(op) for op in call.targets]),
            frozenset([id(tensor) for tensor in feeds]),
        )
        found = plans.get(key)
        if found is None:
            plan = self._plan(call)
            self._declarations.tell([node.op for node in plan.nodes], feeds)
            config = getattr(call.session, "_config", None)
            distrusted = self._cache(call.session.graph).distrusted.get(key, set())
            if self._is_idle(call, plan):
                self._cache(call.session.graph).idle.add(_roots(call.fetches, call.targets))
            found = plans[key] = probe_plan(
                plan, self._level, self._selected(plan), call.feed_shapes, config, distrusted, _is_local(call)
            )
            self._sink.emit([
                Notice(self._sink.next_seq(), "blind", f"the inside of {name} was not recorded: {why}")
                for name, why in found.closed.items()
            ])  # fmt: skip
        return found

    def _unprobed(self, call: RunCall) -> Probed:
        """Return the plan of a run that tfdbg watches: what it dumps and counts is to be the user's alone."""
        plan = self._plan(call)
        self._declarations.tell([node.op for node in plan.nodes], plan.feeds)
        cache = self._cache(call.session.graph)
        if not cache.told_of_watches:
            cache.told_of_watches = True
            text = "tfdbg watches runs of this graph: in these nothing is measured, and shapes are inferred"
            self._sink.emit([Notice(self._sink.next_seq(), "blind", text)])
        return Probed(plan, self._level, ["inferred"] * len(plan.nodes), self._selected(plan), {})

    def _cache(self, graph: Any) -> _GraphCache:
        self._graphs.add(graph)
        cache: _GraphCache | None = getattr(graph, _CACHE, None)
        if cache is None:
            cache = _GraphCache()
            setattr(graph, _CACHE, cache)
        return cache

    def _plan(self, call: RunCall) -> Plan:
        feeds = [ref.deref() for ref in call.feeds]
        return make_plan(call.session.graph, call.fetches, call.targets, feeds, self._sink.sites)

    def _is_idle(self, call: RunCall, plan: Plan) -> bool:
        """Whether the filters leave nothing of a call, whatever is fed: what feeds cut off counts too."""
        if self._options.phases or any(self._selected(plan)):
            return False
        uncut = make_plan(call.session.graph, call.fetches, call.targets, [], self._sink.sites)
        return not any(self._selected(uncut))

    def _selected(self, plan: Plan) -> list[bool]:
        options = self._options

        def wanted(node: PlanNode) -> bool:
            return (
                _matches(node.module, options.modules)
                and (_matches(node.op.type, options.ops) or _matches(node.function, options.ops))
                and (not options.phases or node.phase in options.phases)
            )

        return [wanted(node) for node in plan.nodes]


def _roots(fetches: Sequence[Any], targets: Sequence[Any]) -> Any:
    return *map(id, fetches), None, *map(id, targets)


def _is_local(call: RunCall) -> bool:
    """Whether the session computes in this process's main memory, so that fetching a tensor copies nothing."""
    session = call.session
    return not session.sess_str and all(one.device_type == "CPU" for one in session.list_devices())


def _finite(value: np.ndarray) -> bool | None:
    """Whether a fed array is finite; None where it can't be otherwise."""
    code = _FLOAT_CODES.get(value.dtype.char)
    if code is None or kernel is None or not value.flags.c_contiguous:
        return array_fact(value, "health").finite
    return bool(kernel.all_finite(value, code))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _read_before(run: Callable[..., Any], call: RunCall, tensors: Sequence[Any]) -> Sequence[Any] | None:
    """Read variables before an update in the same run can change them; None if they can't be read."""
    from tensorflow.python.framework import errors_impl

    if not tensors:
        return ()
    try:
        return list(run(call.session, None, [], tensors, call.feeds, None, None))
    except errors_impl.OpError:
        return None  # not initialized yet: the run itself will say so
