"""Functions: every op of a ``tf.function`` each time it runs, also of one traced before recording began."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.eager.polymorphic_function.atomic_function import AtomicFunction

from graphdebug.backends.tensorflow.messages import node_name
from graphdebug.backends.tensorflow.two.again import Again, Call
from graphdebug.backends.tensorflow.two.compiled import Compiled
from graphdebug.backends.tensorflow.two.failed import FailedCall
from graphdebug.backends.tensorflow.two.failing import Failing
from graphdebug.backends.tensorflow.two.ledger import Made, Recent
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.optimized import as_it_is, plain_path
from graphdebug.backends.tensorflow.two.plan import COPY, Plan
from graphdebug.backends.tensorflow.two.planning import plan_function
from graphdebug.backends.tensorflow.two.playing import Records, Run
from graphdebug.backends.tensorflow.two.replaying import Replay
from graphdebug.model.event import Notice, TensorFact
from graphdebug.model.site import Position

__all__ = ["watch_functions"]

_FLOATS = tf.float32.as_datatype_enum
_NO_NUMBERS = np.zeros(0, np.float32), np.zeros(0, np.int64)
_KINDS = 8
"""Kinds of calls of a function that are kept as patterns."""


def watch_functions(observer: Observer, failing: Failing) -> Callable[[], None]:
    """Record the functions that are called eagerly from now on; return the way back."""
    functions = _Functions(observer, failing)
    original = context.Context.call_function

    def call_function(self: Any, name: bytes, tensor_inputs: Any, num_outputs: int) -> Any:
        return functions.call(original, self, name, tensor_inputs, num_outputs)

    context.Context.call_function = call_function

    def restore() -> None:
        context.Context.call_function = original
        functions.forget()

    return restore


class _Functions:
    """The functions of the process, each with its plan."""

    def __init__(self, observer: Observer, failing: Failing) -> None:
        self._observer = observer
        self._failing = failing
        self._sink = observer.sink
        self._plans: dict[bytes, Plan | None] = {}
        self._runs: Recent[int, Run] = Recent(1024)

    def call(
        self, original: Callable[..., Any], runtime: Any, name: bytes, inputs: Sequence[Any], count: int
    ) -> Any:
        """Stand in for the runtime's call of a function: call its copy and record what that hands out."""
        if self._observer.ledger.state.busy:
            return original(runtime, name, inputs, count)
        plan = self._quietly("planning a function", lambda: self._plan(runtime, name, inputs, sys._getframe(4)))
        if plan is None or not self._sink.recording:
            outputs = original(runtime, name, inputs, count)
        else:
            outputs = self._recorded(original, runtime, name, plan, inputs, count)
        if plan is not None and plan.updates:
            self._observer.function_ended()
        return outputs

    def forget(self) -> None:
        """Take the copies out of the runtime."""
        runtime = context.context()
        for plan in self._plans.values():
            for name in plan.added if plan is not None else ():
                if runtime.has_function(name):
                    runtime.remove_function(name)
        self._plans.clear()

    def _recorded(
        self, original: Callable[..., Any], runtime: Any, name: bytes, plan: Plan, inputs: Sequence[Any],
        count: int,
    ) -> Any:  # fmt: skip
        position = self._sink.sites.position(sys._getframe(3))
        began = self._sink.now()
        made = self._quietly("reading arguments", lambda: self._arguments(plan, inputs))
        compiled = None
        if plan.unseen and self._observer.level != "shapes":
            compiled = self._quietly(
                "reading variables", lambda: self._apart(lambda: Compiled(self._observer, plan, inputs))
            )
        try:
            outputs = _run(original, runtime, plan, inputs, count + plan.extras) or []
        except Exception as error:
            if "graphdebug/" in str(getattr(error, "message", "")):
                # our copy could not be set up: nothing has run yet
                self._sink.tool_error("preparing a function", error)
                self._plans[name] = None
                return original(runtime, name, inputs, count)
            failed = error
            self._quietly("cleaning up after a failed function", lambda: self._clean(failed, plan))
            self._quietly(
                "reading a failed function", lambda: self._raised(failed, plan, inputs, made or [], position)
            )
            raise
        users, extras = list(outputs[:count]), list(outputs[count:])
        seen: Any = None
        if compiled is not None:
            given = compiled
            seen = self._quietly(
                "computing a compiled function again",
                lambda: self._apart(lambda: given.facts(users, lambda: self._kept(plan))),
            )
        if plan.kept:
            self._quietly("dropping what was kept", lambda: self._drop(plan))
        self._quietly(
            "recording a function", lambda: self._play(plan, made or [], users, extras, position, began, seen)
        )
        if self._observer.ended is not None:
            self._observer.ended(sys._getframe(3), users)
        return users or None

    def _arguments(self, plan: Plan, inputs: Sequence[Any]) -> list[Made]:
        made = [self._observer.made(one) for one in inputs]
        for at in plan.counted:
            made[at] = self._observer.measured(made[at], inputs[at])
        return made

    def _play(
        self, plan: Plan, arguments: Sequence[Made], outputs: Sequence[Any], extras: Sequence[Any],
        position: Position | None, began: float, seen: Mapping[int, Sequence[TensorFact]] | None,
    ) -> None:  # fmt: skip
        floats, ints = _NO_NUMBERS
        for one in extras:
            if one._datatype_enum() == _FLOATS:
                floats = one.numpy()
            else:
                ints = one.numpy()
        call = Call(arguments, floats, ints, position, began)
        if self._plays_again(plan, call, outputs):
            return
        site = None if position is None else self._sink.sites.resolve(position)
        forward = next((run for one in arguments if (run := self._runs.get(one.seq or -1))), None)
        run = Run(self._observer, site, began, forward)
        results = run.play(plan, Records(floats, ints, self._staged), arguments, seen)
        self._observer.emit_all(run.events)
        for tensor, made in zip(outputs, results, strict=False):
            self._observer.ledger.made[tensor._id] = made
            if made.seq is not None:
                self._runs[made.seq] = run
        if plan.repeats:
            with suppress(ValueError):
                plan.alike.insert(0, Again(plan, self._observer.level, run, call, results))
                del plan.alike[_KINDS:]

    def _plays_again(self, plan: Plan, call: Call, outputs: Sequence[Any]) -> bool:
        """Render the nodes of a call from those of a call like it, if there was one."""
        for at, again in enumerate(plan.alike):
            texts = again.texts(call)
            if texts is not None:
                if at:  # the next call is most often like the last one
                    with suppress(ValueError):  # another thread did so meanwhile
                        plan.alike.remove(again)
                        plan.alike.insert(0, again)
                first = self._sink.next_seqs(again.pattern.size)
                self._observer.emit_all(again.batch(self._sink, first, texts, call))
                results = again.results(first, texts, call)
                for tensor, made in zip(outputs, results, strict=False):
                    self._observer.ledger.made[tensor._id] = made
                return True
        return False

    def _staged(self, key: str, dtypes: Sequence[tf.DType]) -> Sequence[np.ndarray]:
        """Take the next record that a body of a loop or a branch has put aside."""
        state = self._observer.ledger.state
        state.busy = True
        try:
            found = _unstaged(key, dtypes)
            if not found:
                raise RuntimeError(f"nothing was put aside under {key}")
            return [one.numpy() for one in found]
        finally:
            state.busy = False

    def _kept(self, plan: Plan) -> dict[int, Sequence[Any]]:
        """Take what was kept of the ops that give something else when they run again."""
        return {index: _unstaged(key, dtypes) for index, (key, dtypes) in plan.kept.items()}

    def _apart(self, work: Callable[[], Any]) -> Any:
        """Run ops of our own, which are not recorded."""
        state = self._observer.ledger.state
        state.busy = True
        try:
            return work()
        finally:
            state.busy = False

    def _drop(self, plan: Plan) -> None:
        """Forget what was kept in case the function raised."""
        state = self._observer.ledger.state
        state.busy = True
        try:
            for key, dtypes in plan.kept.values():
                tf.raw_ops.StageClear(dtypes=dtypes, shared_name=key)
        finally:
            state.busy = False

    def _clean(self, error: Exception, plan: Plan) -> None:
        """Give the user's names back to an error, and drop what loops have put aside."""
        message = getattr(error, "_message", None)
        if isinstance(message, str):
            for copy in plan.added:
                message = message.replace(copy, copy.rpartition(COPY)[0] or copy)
            error._message = message  # type: ignore[attr-defined] # TensorFlow's own place for it
        state = self._observer.ledger.state
        state.busy = True
        try:
            for control in plan.controls():
                for body in control.bodies:
                    if body.stage:
                        tf.raw_ops.StageClear(dtypes=body.staged, shared_name=body.stage)
        finally:
            state.busy = False

    def _raised(
        self, error: Exception, plan: Plan, inputs: Sequence[Any], arguments: Sequence[Made],
        position: Position | None,
    ) -> None:  # fmt: skip
        """Find the op that raised, and what it was given."""
        message = str(getattr(error, "message", error))
        of_data = self._failing.of_data(message, None)
        if of_data is not None:
            self._failing.keep(error, of_data)
            return
        node, functions = plain_path(node_name(message)), re.findall(r"\{\{function_node (\S+)\}\}", message)
        path = plan.find(lambda entry: entry.name == node) or plan.find(
            lambda entry: entry.source.name == node and entry.home in functions
        )
        if not path:
            return
        path = _as_forward(plan, path)
        state = self._observer.ledger.state
        state.busy = True
        try:
            replay = Replay(plan, inputs, self._kept(plan))
            outer, index = path[0]
            reached = replay.reach(outer.entries[index])
            found = {at: tensors for at, tensors in replay.tensors.items() if tensors}
            seen = {at: [self._observer.fact(one) for one in tensors] for at, tensors in found.items()}
        finally:
            state.busy = False
        if replay.obstacle:
            text = f"not all that led to the failing op was computed again: {replay.obstacle}"
            self._observer.emit(Notice(self._sink.next_seq(), "replay", text))
        site = None if position is None else self._sink.sites.resolve(position)
        run = Run(self._observer, site, self._sink.now(), None)
        entry, operands, seq = run.raised(path, arguments, seen)
        self._observer.emit_all(run.events)
        given = [one.operand(role) for one, (_, role) in zip(operands, entry.inputs, strict=True)]
        self._failing.keep(error, FailedCall(
            entry.op, given, entry.attributes, "function", entry.phase, None, entry.name, entry.module,
            entry.sites, seq, message.strip(), reached if len(path) == 1 else (),
        ))  # fmt: skip

    def _plan(self, runtime: Any, name: bytes, inputs: Sequence[Any], frame: FrameType | None) -> Plan | None:
        """Return the plan of a function, made when it is first called."""
        if name in self._plans:
            return self._plans[name]
        self._plans[name] = None
        function = _caller(frame)
        if function is None or function.name != name:
            return None
        state = self._observer.ledger.state
        state.busy = True
        try:
            plan = plan_function(
                self._observer, runtime, name.decode(), function.graph, function.definition, inputs
            )
        finally:
            state.busy = False
        self._plans[name] = plan
        whole = name.startswith(b"__inference")  # no tape will ask for its nodes
        ranked = all(rank >= 0 for _, _, rank in plan.slots.shapes)
        fixed = ranked and not plan.unseen and not plan.calls and not any(plan.controls())
        plan.repeats = whole and fixed and self._observer.level != "values"
        if plan.unseen:
            self._tell_unseen(plan)
        elif plan.unknown:
            text = f"{plan.title} is not looked into ({plan.unknown}): its ops are listed with inferred shapes"
            self._tell_blind(plan, text)
        return plan

    def _tell_unseen(self, plan: Plan) -> None:
        how = "if what it gives is not finite, it is computed once more op by op"
        if self._observer.level in ("stats", "values"):
            how = "their numbers come from computing it once more op by op"
        if self._observer.level == "shapes":
            how = "their numbers are not looked at"
        text = (
            f"{plan.title} is compiled by XLA (jit_compile=True) and can't be looked into: its ops are listed "
            f"with inferred shapes; {how}; jit_compile=False shows all that runs"
        )
        if plan.draws:
            text = (
                f"{plan.title} was traced before the recording and draws random numbers by a seed: it is run "
                f"as it is, to go on where it was, and its ops are listed with inferred shapes; {how}"
            )
        self._tell_blind(plan, text)

    def _tell_blind(self, plan: Plan, text: str) -> None:
        site = next((entry.sites[0] for entry in plan.entries if entry.sites), None)
        self._observer.emit(Notice(self._sink.next_seq(), "blind", text, site))

    def _quietly(self, where: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            self._sink.tool_error(where, error)
            return None


def _run(original: Callable[..., Any], runtime: Any, plan: Plan, inputs: Sequence[Any], count: int) -> Any:
    """Run the copy of a function as it is: it is made of what the optimizer has left."""
    if plan.name not in plan.added:
        return original(runtime, plan.name.encode(), inputs, count)
    options = runtime.function_call_options
    runtime.function_call_options = as_it_is(runtime)
    try:
        return original(runtime, plan.name.encode(), inputs, count)
    finally:
        runtime.function_call_options = options


def _as_forward(plan: Plan, path: list[tuple[Plan, int]]) -> list[tuple[Plan, int]]:
    """Return the place of the forward op, where the sizes of its operands for its gradient were refused.

    They do not broadcast in forward either: the gradient's op came first, since it needs the shapes alone.
    """
    entry = path[-1][0].entries[path[-1][1]]
    if entry.op != "BroadcastGradientArgs":
        return path
    name = entry.forward or re.sub(r"gradient_tape/(.*)/BroadcastGradientArgs(_\d+)?$", r"\1", entry.name)
    return plan.find(lambda one: one.name == name) or path


def _unstaged(key: str, dtypes: Sequence[tf.DType]) -> list[Any]:
    """Take the oldest record that waits under `key`; nothing if there is none (waiting would block)."""
    if not int(tf.raw_ops.StageSize(dtypes=dtypes, shared_name=key)):
        return []
    found = tf.raw_ops.Unstage(dtypes=dtypes, shared_name=key)
    return list(found) if isinstance(found, list | tuple) else [found]


def _caller(frame: FrameType | None) -> AtomicFunction | None:
    """Return the function object whose `call_flat` has called the runtime."""
    for _ in range(4):
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if isinstance(owner, AtomicFunction):
            return owner
        frame = frame.f_back
    return None
