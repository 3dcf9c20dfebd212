"""Usage: what of a graph no run of a recording ever asked for, and what the program adds to it between runs.

A run tells what it executes, never what it leaves out. That is told once for each graph, when recording ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from graphdebug.backends.protocol import Sink
from graphdebug.backends.ranges import add_values
from graphdebug.backends.tensorflow.sessions.gradients import is_update
from graphdebug.backends.tensorflow.sessions.plan import Plan, selected_ops
from graphdebug.backends.tensorflow.sessions.variables import variable_of
from graphdebug.backends.tensorflow.sites import build_sites
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.model.event import Declaration, Event, Notice

__all__ = ["Usage"]

_GROWN = 5
"""Runs that had new nodes made by one line before they are told."""
_MOST = 20
"""Writes that one notice tells."""
_LOOKED_AT = 32
"""Runs with feeds whose values are looked at."""
_LEAST = 3
_VARIABLES = ("VariableV2", "Variable", "VarHandleOp")


class Usage:
    """What the runs of one graph asked for."""

    def __init__(self) -> None:
        self._asked: dict[Any, list[Any]] = {}
        self._newest = 0
        """Number of the last node at the last run that was planned anew."""
        self._grown: dict[Any, list[Any]] = {}
        """By line: the number of runs that it had made new nodes for, and one of these."""
        self._fed: dict[str, dict[str, Any]] = {}
        """By placeholder: what is known of the values that it was fed."""
        self._fed_runs = 0

    def ask(self, fetches: Sequence[Any], targets: Sequence[Any]) -> None:
        """Note what a run asked for."""
        key = *map(id, fetches), None, *map(id, targets)
        if key not in self._asked:
            self._asked[key] = [*(tensor.op for tensor in fetches), *targets]

    @property
    def fed_enough(self) -> bool:
        """Whether no more runs are looked at."""
        return self._fed_runs >= _LOOKED_AT

    def feed(self, feeds: Mapping[Any, Any]) -> None:
        """Note what the values of the first runs are: their range, or that all are one number."""
        if self.fed_enough or not feeds:
            return
        self._fed_runs += 1
        for ref, value in feeds.items():
            known = self._fed.setdefault(ref.deref().name, {"runs": 0})
            known["runs"] += 1
            add_values(known, np.asarray(value))

    def grow(self, plan: Plan) -> None:
        """Note the nodes of a new plan that were made since the last one, unless a model was built."""
        new = [one.op for one in plan.nodes if int(one.op._id) > self._newest > 0 and one.site is not None]
        if new and not any(op.type in _VARIABLES for op in new):
            frames = [(one.filename, one.lineno) for one in new[0].traceback or ()]
            self._grown.setdefault(tuple(frames), [0, new[0]])[0] += 1

    def settle(self, graph: Any) -> None:
        """Take the graph as it is now, with what recording has added to it."""
        self._newest = int(graph.version) + 1

    def notices(self, graph: Any, sink: Sink) -> Iterator[Event]:
        """Yield what is to be told of `graph`."""
        for count, op in self._grown.values():
            if count >= _GROWN:
                text = f"{count} runs had new nodes of one line"
                detail = {"runs": count, "op": op.name, "sites": _sites(op, sink)}
                yield Notice(sink.next_seq(), "growing_graph", text, build_sites(op, sink.sites)[0], detail)
        for name, words in self._fed.items():
            fact = words.pop("fact", None)
            if words["runs"] >= _LEAST and fact is not None:
                kept = {key: word for key, word in words.items() if word is not None}
                told = {"role": "feed", "feed": name, **kept}
                yield Declaration(
                    sink.next_seq(), f"feed:{name}", "Data", attributes=told, tensors={"value": fact}
                )
        unrun = self._unrun(graph, sink)
        if unrun:
            yield Notice(sink.next_seq(), "never_run", "parts of a graph that no run asked for", detail=unrun)

    def _unrun(self, graph: Any, sink: Sink) -> dict[str, Any]:
        ran = selected_ops([op for many in self._asked.values() for op in many], ())
        known = {id(op) for op in ran}
        writes = [op for op in graph.get_operations() if word(op.type).family == "assign" or is_update(op)]
        later = [op for op in writes if not _initializes(op)]
        done = [op for op in later if id(op) in known]
        written, read = {variable_of(op.inputs[0]) for op in done}, _read(ran)
        left = [op for op in later if id(op) not in known and not op.name.startswith("graphdebug/")]
        collected = {id(getattr(one, "op", one)) for one in graph.get_collection("update_ops")}
        found: dict[str, Any] = {
            "assigns": [
                {"variable": name, "op": op.name, "sites": _sites(op, sink)}
                | {"collected": _collected(op, collected)}
                for op in left
                if (name := variable_of(op.inputs[0])) in read - written
                and not is_update(op) and _computed(op) and build_sites(op, sink.sites)
            ][:_MOST],
            "counters": [
                {"variable": name, "sites": _sites(op, sink)}
                for name, op in _counters(done) if name not in written
            ],
        }  # fmt: skip
        updates = [op for op in left if is_update(op)]
        began = any(_initializes(op) and id(op) in known for op in writes)
        restored = any(op.type.startswith("Restore") for op in ran)
        if updates and began and not restored and not any(is_update(op) for op in done):
            found["optimizers"] = [{"op": updates[0].name, "sites": _sites(updates[0], sink)}]
        return {key: many for key, many in found.items() if many}


def _sites(op: Any, sink: Sink) -> list[Any]:
    return [msgspec.to_builtins(one) for one in build_sites(op, sink.sites, 4)]


def _initializes(op: Any) -> bool:
    """Whether a write gives a variable its first value, or one that was saved."""
    name = variable_of(op.inputs[0])
    value = op.inputs[-1].op
    while value.type == "Identity":
        value = value.inputs[0].op
    return bool(op.name == f"{name}/Assign" or value.type.startswith("Restore"))


def _collected(op: Any, collected: set[int]) -> bool:
    """Whether a write, or what reads its result, stands in the collection of updates."""
    users = [op, *(user for tensor in op.outputs for user in tensor.consumers()), *op._control_outputs]
    return any(id(one) in collected for one in users)


def _computed(op: Any) -> bool:
    """Whether a write depends on data or on another variable, and does not only put back a constant."""
    name = variable_of(op.inputs[0])
    makers = selected_ops([tensor.op for tensor in list(op.inputs)[1:]], ())
    adds = op.type in ("AssignAdd", "AssignAddVariableOp")
    return adds or any(
        one.type.startswith("Placeholder") or one.type == "IteratorGetNext"
        or (one.type in _VARIABLES and one.name != name)
        for one in makers
    )  # fmt: skip


def _read(ran: Iterable[Any]) -> set[str]:
    """Return the variables that nodes which ran compute with."""
    found: set[str] = set()
    for op in ran:
        if (
            word(op.type).family not in ("assign", "copy")
            and not is_update(op)
            and op.type != "VarIsInitializedOp"
        ):
            found.update(map(variable_of, op.inputs))
    return found - {""}


def _counters(done: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the whole numbers in variables from which the optimizers that ran take their settings."""
    settings = {
        id(tensor): tensor.op for op in done if is_update(op) for tensor in list(op.inputs)[1:]
        if tensor.shape.rank == 0 and tensor.op.type != "Const"
    }  # fmt: skip
    for one in selected_ops(settings.values(), ()):
        if one.type in _VARIABLES and one.outputs:
            import tensorflow as tf

            shape, dtype = tf.TensorShape(one.get_attr("shape")), tf.as_dtype(one.get_attr("dtype"))
            if shape.rank == 0 and dtype.is_integer:
                yield one.name, one
