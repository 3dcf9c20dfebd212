"""Failing: what is known of an exception of eager TensorFlow or of a function, when it leaves the block."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np
import tensorflow as tf
from msgspec import to_builtins
from msgspec.structs import replace
from tensorflow.python.eager import core

from graphdebug.backends.tensorflow.attributes import Asked, attributes_of
from graphdebug.backends.tensorflow.facts import elements_of, static_fact
from graphdebug.backends.tensorflow.losses import loss_in_progress
from graphdebug.backends.tensorflow.messages import ON_TENSORS, read_message, unwrapped
from graphdebug.backends.tensorflow.sites import called_python
from graphdebug.backends.tensorflow.two.failed import (
    FailedCall,
    eager_call,
    is_tensor,
    made_of,
    op_types,
    tensors_in,
)
from graphdebug.backends.tensorflow.two.ledger import Made
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.pipelines import Pipelines
from graphdebug.backends.tensorflow.two.planning import read_graph
from graphdebug.backends.tensorflow.two.playing import Records, Run
from graphdebug.backends.tensorflow.vocabulary import Word, word
from graphdebug.model.event import Failure, Operand, Site

__all__ = ["Failing", "watch_errors"]

_TAGS = re.compile(r"\{\{function_node [^}]*\}\}\s*|\s*\[\[\{\{.*?\}\}\]\]|\s*\[Op:[^\]]*\]( name: )?")
"""What the runtime adds to its message: names of functions and nodes, which the event has in fields."""

_ON_TENSORS = re.compile(ON_TENSORS)
_CHECKING = ("/tensorflow/python/ops/", "/keras/src/backend/tensorflow/")
"""Where shapes are checked in Python, before any op."""

_CALLED = {
    "sparsecategoricalcrossentropy": "sparsesoftmaxcrossentropywithlogits",
    "categoricalcrossentropy": "softmaxcrossentropywithlogits",
}
"""Keras's functions by the op they are about, without underscores."""

_LOSSES = {"binary_crossentropy": "bce"}
"""Keras's losses that no op is about, by their function."""

_ROLES = {"target": "labels", "output": "logits"}
"""What Keras calls the two sides of a loss."""

_MAKING = "_graphdebug_making"
"""Where the watch over the making of ops notes, on its exception, which op was being made."""


class Failing:
    """The exceptions of this recording and the calls that raised them."""

    def __init__(self, observer: Observer, pipelines: Pipelines) -> None:
        self._observer = observer
        self._sink = observer.sink
        self._calls: deque[tuple[BaseException, FailedCall]] = deque(maxlen=8)
        self._told: deque[tuple[BaseException, Failure]] = deque(maxlen=8)
        self._pipelines = pipelines

    def keep(self, error: BaseException, call: FailedCall) -> None:
        """Remember which call raised `error`."""
        self._calls.append((error, call))

    def keep_told(self, error: BaseException, failure: Failure) -> None:
        """Remember an exception of ours, with all that is to be said of it."""
        self._told.append((error, failure))

    def of_data(self, message: str, frame: FrameType | None) -> FailedCall | None:
        """Return the op of a function of tf.data that the runtime's message is about, if it is about one."""
        found = self._pipelines.failing(message, frame)
        if found is None:
            return None
        entry, made, seq = found
        operands = [one.operand(role) for one, (_, role) in zip(made, entry.inputs, strict=True)]
        return FailedCall(
            entry.op, operands, entry.attributes, "function", "forward", None, entry.name, entry.module,
            entry.sites, seq, message,
        )  # fmt: skip

    def of(self, error: BaseException) -> Failure | None:
        """Return what is known of `error`, or None if it is none of TensorFlow's."""
        chain = list(_chain(error))
        told = next((failure for one in chain for known, failure in self._told if known is one), None)
        if told is not None:
            return replace(told, frames=self._sink.sites.of_error(error))
        call = next((found for one in chain for known, found in self._calls if known is one), None)
        if call is None:
            made = [found for one in chain if (found := self._being_made(one)) is not None]
            call = next((one for one in made if one.op), made[0] if made else None)
        frames = self._frames(error)
        if call is None and not self._is_tensorflow(unwrapped(error)):
            return None
        call = call or self._python_call(unwrapped(error)) or FailedCall("", (), {}, "eager", "forward")
        named = word(call.op) if call.op else None
        if "No gradients provided" in str(error):
            call = self._cut_off(call)
        early = self._observer.before_tape if "No gradients provided" in str(error) else None
        said = unwrapped(error) if "automatically infer" in str(error) else error  # Keras tried it out
        message = _TAGS.sub("", call.message or str(getattr(said, "message", None) or said)).strip()
        reading = read_message(message)
        others = reading.category == "variable_exists"  # the stack is that of the variable that exists
        inner = [] if others else called_python(message, self._sink.sites)
        if inner:
            message = message.partition("\nTraceback (most recent call last)")[0].strip()
            reading = read_message(message)
        kind = type(error).__name__
        is_op_error = isinstance(error, tf.errors.OpError)
        category = reading.category
        if category == "other" and isinstance(error, TypeError | ValueError):
            category = "argument"  # refused in Python: it is about what a call was given
        seq, sites = self._sink.next_seq(), [*inner[:1], *call.sites]
        return Failure(
            seq, self._sink.step,
            f"tensorflow.errors.{kind}" if is_op_error else kind, message,
            category="memory" if kind == "ResourceExhaustedError" else category,
            detail=reading.detail if early is None else {"before_tape": to_builtins(early)},
            framework="tensorflow", mode=call.mode, phase=call.phase, op=call.op,
            function=call.loss or _called(inner, named),
            family="loss" if call.loss else named.family if named else "other",
            name=call.name, module=call.module,
            site=sites[0] if sites else frames[-1] if frames else None,
            run_site=frames[-1] if frames and sites and call.mode == "function" else None,
            frames=(*frames, *reversed(inner)),
            operands=self._sink.save(seq, call.operands, [elements_of(one) for one in call.tensors]),
            attributes=dict(call.attributes), node=call.node,
        )  # fmt: skip

    def _frames(self, error: BaseException) -> tuple[Site, ...]:
        """Return the user frames of an exception, down to where that was raised which Keras replaced by it."""
        frames, inner = (tuple(self._sink.sites.of_error(one)) for one in (error, unwrapped(error)))
        return (
            frames
            if not inner or inner[-1] in frames
            else (*frames, *(one for one in inner if one not in frames))
        )

    def _cut_off(self, call: FailedCall) -> FailedCall:
        """Return the call with the target of the gradients that reached no variable as its operand."""
        target = self._observer.unreached() if self._observer.unreached is not None else None
        if target is None:
            return call
        if not hasattr(target, "_numpy_internal"):
            return call._replace(operands=self._operands([("loss", target)], word("")))
        began = {"recorded_after": self._observer.tape_began}
        if self._observer.tape_ended > self._observer.tape_began:
            began["recorded_until"] = self._observer.tape_ended
        return call._replace(operands=self._operands([("loss", target)], word("")), attributes=began)

    def _is_tensorflow(self, error: BaseException) -> bool:
        """Whether TensorFlow or Keras raised `error`, or a library that they called with it."""
        if isinstance(error, tf.errors.OpError) or type(error).__module__.startswith("tensorflow."):
            return True
        if isinstance(error, TypeError | AttributeError) and _ON_TENSORS.search(str(error)):
            return True  # it is of Python's own making
        if self._observer.unreached is not None and "No gradients provided" in str(error):
            return True  # Keras takes its own frames out
        files = [frame.f_code.co_filename.replace("\\", "/") for frame in _frames_of(error)]
        users = [at for at, file in enumerate(files) if self._sink.sites.is_user(file)]
        called = files[users[-1] + 1 :][:1] if users else []
        return any(word in file for file in (*files[-1:], *called) for word in _OWN)

    def _python_call(self, error: BaseException) -> FailedCall | None:
        """Read the operands of a check that TensorFlow makes in Python off the arguments of its function."""
        frames = list(_frames_of(error))
        if frames and frames[-1].f_code.co_name == "quick_execute":
            return eager_call(self._observer, frames[-1])
        inner = [frame for frame in frames if any(one in frame.f_code.co_filename for one in _CHECKING)]
        for frame in reversed(inner):
            code, values = frame.f_code, frame.f_locals
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            given = [(name, values[name]) for name in names if is_tensor(values.get(name))]
            if given:
                called = code.co_name.replace("_", "").removesuffix("v2")
                called = _CALLED.get(called, called)
                op_type = next((one for one in op_types() if one.lower() == called), "")
                mode = "eager" if all(hasattr(value, "_numpy_internal") for _, value in given) else "function"
                phase, tensors = self._observer.phase("other"), [value for _, value in given]
                return FailedCall(
                    op_type, self._operands(given, word("")), {}, mode, phase, tensors=tensors,
                    loss=_LOSSES.get(code.co_name, ""),
                )  # fmt: skip
        return None

    def _operands(self, given: Sequence[tuple[str, Any]], named: Word) -> list[Operand]:
        """Return operands by name and value; where the values are being traced, so are their producers."""
        traced: dict[Any, dict[str, Made]] = {}
        found = []
        for index, (name, value) in enumerate(given):
            graph = value.graph if hasattr(value, "op") else None
            if hasattr(graph, "captures") and graph not in traced:
                traced[graph] = self._traced(graph)
            made = traced.get(graph, {}).get(getattr(value, "name", "")) or made_of(self._observer, value)
            found.append(made.operand(named.role(index) or _ROLES.get(name, name)))
        return found

    def _being_made(self, error: BaseException) -> FailedCall | None:
        """Read what was being added to a function while it was traced."""
        making = getattr(error, _MAKING, None)
        if making is None:
            return None
        delattr(error, _MAKING)
        operands = self._operands(list(tensors_in(making.inputs)), word(making.op_type))
        attributes = attributes_of(making.op_type, Asked(making.inputs.get, making.constant, operands))
        call = FailedCall(making.op_type, operands, attributes, "function", self._observer.phase("other"))
        return call.within(making.loss)

    def _traced(self, graph: Any) -> dict[str, Made]:
        """Emit the ops traced so far, and return where each tensor of the graph came from."""
        plan, refs = read_graph(self._observer, graph)
        external = {placeholder.name: outer for outer, placeholder in graph.captures}
        arguments = []
        for tensor in graph.inputs:
            if not hasattr(tensor, "op"):  # a trace that failed has not yet put its own in their place
                arguments.append(made_of(self._observer, tensor))
                continue
            outer = external.get(tensor.name)
            if outer is not None and hasattr(outer, "_numpy_internal"):
                arguments.append(self._observer.made(outer))
            else:
                arguments.append(Made(static_fact(tensor), "argument", name=tensor.op.name))
        run = Run(self._observer, None, self._sink.now(), None)
        empty = Records(np.zeros(0, np.float32), np.zeros(0, np.int64), lambda _key, _dtypes: ())
        names = list(refs)
        plan.outputs = [refs[name] for name in names]
        results = run.play(plan, empty, arguments)
        self._observer.emit_all(run.events)
        return dict(zip(names, results, strict=True))


def watch_errors(failing: Failing, observer: Observer) -> Callable[[], None]:
    """Note the operands of each eager op that fails, before TensorFlow drops their frames."""
    original = core._status_to_exception

    def _status_to_exception(status: Any) -> Any:
        error = original(status)
        if not observer.ledger.state.busy:
            try:
                call = failing.of_data(str(error), sys._getframe(1)) or eager_call(observer, sys._getframe(1))
                if call is not None:
                    failing.keep(error, call.within(loss_in_progress()))
            except Exception as trouble:
                observer.sink.tool_error("reading a failing op", trouble)
        return error

    core._status_to_exception = _status_to_exception

    def restore() -> None:
        core._status_to_exception = original

    return restore


def _frames_of(error: BaseException) -> Iterator[FrameType]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _called(inner: list[Site], named: Word | None) -> str:
    """Return what failed: the op, or the Python function of the user's that an op has called."""
    if named is not None and (named.family != "other" or not inner):
        return named.function
    return inner[0].function if inner else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those it replaced: AutoGraph raises a new one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment] # ends the loop


_OWN = ("/tensorflow/python/", "/keras/src/", "__autograph_generated_file")
"""What is in the file names of TensorFlow's and Keras's own code."""
