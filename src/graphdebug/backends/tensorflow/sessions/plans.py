"""The plans of graphs: what each way to call a session executes, and where it is probed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.packs import Place
from graphdebug.backends.tensorflow.sessions.asked import RunCall, roots
from graphdebug.backends.tensorflow.sessions.bodies import Bodies
from graphdebug.backends.tensorflow.sessions.calls import is_call, restarts
from graphdebug.backends.tensorflow.sessions.declarations import Declarations
from graphdebug.backends.tensorflow.sessions.pipelines import tell_pipeline
from graphdebug.backends.tensorflow.sessions.placement import probe_plan
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanNode
from graphdebug.backends.tensorflow.sessions.planning import make_plan
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.backends.tensorflow.sessions.usage import Usage
from graphdebug.model.event import Level, Notice, Operand
from graphdebug.options import Options

__all__ = ["Plans"]

_ANEW = (
    "calls a function that is not inlined and draws random numbers by a seed, which would begin anew in a run "
    "that fetches more: nothing of its runs is measured"
)
_CACHE = "_graphdebug"
"""Attribute of a `tf.Graph` that holds its plans while it is recorded: they live and die with the graph."""


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
    pipelines: dict[str, Operand | None] = field(default_factory=dict)
    """Datasets whose functions were listed, by the names of their iterators."""
    bodies: Bodies | None = None
    told: set[str] = field(default_factory=set)
    """Why some of its runs are not measured, as far as it has been said."""
    usage: Usage = field(default_factory=Usage)


class Plans:
    """The plans of all graphs that are recorded.

    Args:
        sink: where declarations and notices go.
        options: what the user wants to see.
        level: what to measure.

    """

    def __init__(self, sink: Sink, options: Options, level: Level) -> None:
        self._sink = sink
        self._options = options
        self._level = level
        self._declarations = Declarations(sink)
        self._lock = threading.RLock()
        self._graphs: weakref.WeakSet[Any] = weakref.WeakSet()

    def forget(self) -> None:
        """Drop all plans."""
        for graph in list(self._graphs):
            cache = getattr(graph, _CACHE, None)
            if cache is not None:
                delattr(graph, _CACHE)
                if cache.bodies is not None:
                    cache.bodies.close()

    def ask(self, graph: Any, fetches: Sequence[Any], targets: Sequence[Any]) -> None:
        """Note what a run asks for, recorded or not."""
        self._cache(graph).usage.ask(fetches, targets)

    def feed(self, call: RunCall) -> None:
        """Note what a recorded run was fed."""
        cache: _GraphCache | None = getattr(call.session.graph, _CACHE, None)
        if cache is not None and not cache.usage.fed_enough:
            cache.usage.feed(call.feeds)

    def tell_usage(self) -> None:
        """Say what of each graph was never run."""
        for graph in list(self._graphs):
            cache = getattr(graph, _CACHE, None)
            if cache is not None:
                self._sink.emit(list(cache.usage.notices(graph, self._sink)))

    def passes(self, session: Any, fetches: Sequence[Any], targets: Sequence[Any]) -> bool:
        """Whether a call holds no node that the user wants to see, as is known at once."""
        cache: _GraphCache | None = getattr(session.graph, _CACHE, None)
        return cache is not None and bool(cache.idle) and roots(fetches, targets) in cache.idle

    def of(self, call: RunCall) -> Probed:
        """Return the plan of a call with its probes, made when it is first asked for."""
        cache: _GraphCache | None = getattr(call.session.graph, _CACHE, None)
        feeds = [id(ref.deref()) for ref in call.feeds]
        route = *map(id, call.fetches), None, *map(id, call.targets), None, *feeds
        probed = None if cache is None else cache.routes.get(route)
        if probed is None:
            with self._lock:
                self.ask(call.session.graph, call.fetches, call.targets)
                probed = self._cache(call.session.graph).routes[route] = self._probed(call)
        return probed

    def distrust(self, call: RunCall, probed: Probed) -> None:
        """Have a plan made anew whose inferred shapes were not those of a run."""
        with self._lock:
            cache = self._cache(call.session.graph)
            for key in [key for key, one in cache.plans.items() if one is probed]:
                cache.distrusted[key] = probed.distrusted
                del cache.plans[key]
            cache.routes.clear()

    def unprobed(self, call: RunCall) -> Probed:
        """Return the plan of a run that tfdbg watches: what it dumps and counts is to be the user's alone."""
        plan = self.plan(call)
        self._declarations.tell([node.op for node in plan.nodes], plan.feeds)
        return self._blind(plan, "tfdbg watches runs of this graph: in these nothing is measured")

    def _blind(self, plan: Plan, why: str) -> Probed:
        """Return a plan of which nothing is measured, and say so once."""
        told = self._cache(plan.graph).told
        if why not in told:
            told.add(why)
            text = f"{why}, and shapes are inferred"
            self._sink.emit([Notice(self._sink.next_seq(), "blind", text)])
        return Probed(plan, self._level, ["inferred"] * len(plan.nodes), self.selected(plan), {})

    def bodies(self, graph: Any) -> Bodies:
        """Return the functions of `graph`."""
        cache = self._cache(graph)
        if cache.bodies is None:
            cache.bodies = Bodies(graph, self._sink.sites, self._level)
        return cache.bodies

    def _anew(self, plan: Plan) -> Probed | None:
        """Return a plan without probes where probes would have random numbers begin anew, else None."""
        for node in plan.nodes:
            if is_call(node.op) and restarts(plan.graph, node.op):
                return self._blind(plan, f"{node.op.name} {_ANEW}")
        return None

    def plain(self, call: RunCall) -> Probed:
        """Return the plan of `call` without a probe, all nodes selected: what a failed run is read with."""
        plan = self.plan(call)
        count = len(plan.nodes)
        return Probed(plan, "shapes", ["inferred"] * count, [True] * count, {})

    def plan(self, call: RunCall) -> Plan:
        """Return what a call executes."""
        feeds = [ref.deref() for ref in call.feeds]
        return make_plan(call.session.graph, call.fetches, call.targets, feeds, self._sink.sites)

    def selected(self, plan: Plan) -> list[bool]:
        """Return which nodes of a plan the user wants to see."""
        options = self._options

        def wanted(node: PlanNode) -> bool:
            return (
                _matches(node.module, options.modules)
                and (_matches(node.op.type, options.ops) or _matches(node.function, options.ops))
                and (not options.phases or node.phase in options.phases)
            )

        return [wanted(node) for node in plan.nodes]

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
            plan, usage = self.plan(call), self._cache(call.session.graph).usage
            usage.grow(plan)
            self._declarations.tell([node.op for node in plan.nodes], feeds)
            config = getattr(call.session, "_config", None)
            distrusted = self._cache(call.session.graph).distrusted.get(key, set())
            if self._is_idle(call, plan):
                self._cache(call.session.graph).idle.add(call.roots)
            found = plans[key] = self._anew(plan) or probe_plan(
                plan, self._level, self.selected(plan), call.feed_shapes, config, distrusted, call.is_local
            )
            found.outer = self._pipelines(call.session.graph, plan)
            usage.settle(call.session.graph)
            self._sink.emit([
                Notice(self._sink.next_seq(), "blind", f"what {name} does inside was not seen: {why}")
                for name, why in found.closed.items()
            ])  # fmt: skip
        return found

    def _pipelines(self, graph: Any, plan: Plan) -> dict[int, Operand]:
        """List the functions of the pipelines that a plan takes elements from, once; return their datasets."""
        if self._options.modules or self._options.ops or self._options.phases:
            return {}
        told, found = self._cache(graph).pipelines, {}
        for node in plan.nodes:
            if node.op.type != "IteratorGetNext":
                continue
            handle = node.op.inputs[0]
            if handle.name not in told:
                told[handle.name] = None  # also if it can't be told
                told[handle.name] = tell_pipeline(graph, handle, self._sink, self._level)
            dataset = told[handle.name]
            if dataset is not None:
                found[id(handle)] = dataset
        return found

    def _cache(self, graph: Any) -> _GraphCache:
        self._graphs.add(graph)
        cache: _GraphCache | None = getattr(graph, _CACHE, None)
        if cache is None:
            cache = _GraphCache()
            setattr(graph, _CACHE, cache)
        return cache

    def _is_idle(self, call: RunCall, plan: Plan) -> bool:
        """Whether the filters leave nothing of a call, whatever is fed: what feeds cut off counts too."""
        if self._options.phases or any(self.selected(plan)):
            return False
        uncut = make_plan(call.session.graph, call.fetches, call.targets, [], self._sink.sites)
        return not any(self.selected(uncut))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
