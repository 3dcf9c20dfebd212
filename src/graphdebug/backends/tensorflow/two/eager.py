"""Eager ops: every op that TensorFlow 2 runs at once, seen through its own op callbacks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from msgspec.structs import replace
from tensorflow.python.eager import context
from tensorflow.python.framework import op_callbacks, op_def_registry
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

from graphdebug.backends.tensorflow.attributes import Asked, attributes_of, has_attributes
from graphdebug.backends.tensorflow.two.handles import name_of_handle, variable_name
from graphdebug.backends.tensorflow.two.ledger import Made, Ran
from graphdebug.backends.tensorflow.two.observer import ALIASES, Observer
from graphdebug.backends.tensorflow.two.pipelines import Pipelines
from graphdebug.backends.tensorflow.vocabulary import Word, word
from graphdebug.model.event import Family, Node, Operand, Origin, TensorFact

__all__ = ["watch_ops"]

_SILENT = frozenset({"ReadVariableOp", "VarIsInitializedOp", "NoOp", "VarHandleOp", "DestroyResourceOp"})
"""Plumbing between a variable and the op that uses it: shown as the operand's origin, not as nodes."""

_MAIN_THREAD = threading.main_thread().ident


def watch_ops(observer: Observer, pipelines: Pipelines) -> Callable[[], None]:
    """Record every eager op from now on; return the way back."""
    ops = _Ops(observer, pipelines)

    # TensorFlow gives op_name and graph by keyword
    def seen(
        op_type: str | bytes, inputs: Any, attrs: Any, outputs: Any, op_name: Any = None, graph: Any = None
    ) -> None:
        if graph is None:
            ops.ran(op_type, inputs, attrs, outputs)
        else:
            try:
                observer.links.built(op_type, inputs, outputs, op_name, graph)
            except Exception as error:
                observer.sink.tool_error(f"recording the making of {op_type!r}", error)

    def restore() -> None:
        if seen in context.context().op_callbacks:
            op_callbacks.remove_op_callback(seen)

    op_callbacks.add_op_callback(seen)
    return restore


class _Ops:
    """Eager ops as they run."""

    def __init__(self, observer: Observer, pipelines: Pipelines) -> None:
        self._observer = observer
        self._pipelines = pipelines
        self._ledger = observer.ledger
        self._sink = observer.sink
        self._context = context.context()

    def ran(
        self, op_type: str | bytes, inputs: Sequence[Any], attrs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """TensorFlow ran `op_type`."""
        state = self._ledger.state
        if state.busy or not self._context.executing_eagerly():
            return
        name = op_type.decode() if isinstance(op_type, bytes) else op_type
        if not self._sink.recording:
            self._observer.phase(word(name).family)  # an update ends a step, recorded or not
            return
        state.busy = True
        try:
            if name in _SILENT:
                self._variable(name, inputs, outputs)
            elif not name.startswith("__"):  # a traced function: its nodes are recorded where it is called
                self._record(name, inputs, attrs, outputs)
        except Exception as error:
            self._sink.tool_error(f"recording {name}", error)
        finally:
            state.busy = False
        if self._observer.ended is not None:
            self._observer.ended(sys._getframe(3), outputs)

    def _record(
        self, op_type: str, inputs: Sequence[Any], attrs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        observer, name = self._observer, word(op_type)
        if op_type == "MakeIterator":
            self._pipelines.iterated(inputs[1], sys._getframe(4))
        seq = self._sink.next_seq()
        frame = sys._getframe(4)
        made = tuple([self._made(op_type, index, one, frame) for index, one in enumerate(inputs)])
        phase = observer.phase(name.family)
        forward = self._ledger.forward_of(op_type, inputs, outputs) if phase == "backward" else None
        function, family = self._words(name, forward)
        module = (self._context.scope_name or "").rstrip("/")
        wanted = observer.wants(op_type, function, module, phase)
        facts = self._outputs(op_type, seq if wanted else None, made, outputs)
        if not wanted:
            return
        self._ledger.ran[seq] = Ran(op_type, made, function, family)
        operands = tuple([one.operand(name.role(index)) for index, one in enumerate(made)])
        position = self._sink.sites.position(frame)
        thread = threading.get_ident()
        observer.emit(
            Node(
                seq, self._sink.step, op_type, function, family, "tensorflow", "eager", phase,
                module=module, site=None if position is None else self._sink.sites.resolve(position),
                inputs=operands, outputs=facts, forward=forward,
                mutates=(0,) if family == "assign" and made else (),
                attributes=_attributes(observer, op_type, inputs, attrs, operands)
                if has_attributes(op_type) else {},
                time=self._sink.now(), thread=0 if thread == _MAIN_THREAD else thread,
            )
        )  # fmt: skip

    def _made(self, op_type: str, index: int, tensor: Any, frame: FrameType) -> Made:
        """Return where an input came from.

        A generated function that is given a variable reads it in C++, unseen: its frame has the variable.
        """
        if self._ledger.made.get(tensor._id) is None:
            definition = op_def_registry.get(op_type)
            if definition is not None and index < len(definition.input_arg):
                variable = frame.f_locals.get(definition.input_arg[index].name)
                if isinstance(variable, BaseResourceVariable):
                    fact = self._observer.fact(tensor, look=False)
                    self._ledger.made[tensor._id] = Made(fact, "variable", name=variable_name(variable))
        return self._observer.made(tensor)

    def _words(self, name: Word, forward: int | None) -> tuple[str, Family]:
        """A backward op has the words of its forward op, whatever op it is made of."""
        owner = None if forward is None else self._ledger.ran.get(forward)
        if owner is None:
            return name.function, name.family
        return f"{owner.function.removesuffix('_backward')}_backward", owner.family

    def _outputs(
        self, op_type: str, seq: int | None, made: Sequence[Made], outputs: Sequence[Any]
    ) -> tuple[TensorFact, ...]:
        """Look at the outputs and remember what made them; without `seq` the node is not recorded."""
        source = made[0] if op_type in ALIASES and made else None
        facts = []
        for index, tensor in enumerate(outputs):
            fact = self._observer.fact(tensor, look=seq is not None and source is None)
            if source is not None:
                fact = _alias(fact, source)
            origin: Origin = "unknown" if seq is None else "node"
            self._ledger.made[tensor._id] = Made(fact, origin, seq, index)
            facts.append(fact)
        return tuple(facts)

    def _variable(self, op_type: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """A variable was made or read: remember its name with its handle, and with the value read."""
        names = self._ledger.variables
        handle = outputs[0] if op_type == "VarHandleOp" else inputs[0] if inputs else None
        if handle is None:
            return
        if handle._id not in names:
            name = name_of_handle(handle, sys._getframe(3))
            if name:
                names[handle._id] = name
        if op_type == "ReadVariableOp":
            value = outputs[0]
            fact = self._observer.fact(value, look=False)
            self._ledger.made[value._id] = Made(fact, "variable", name=names.get(handle._id, ""))


def _alias(fact: TensorFact, source: Made) -> TensorFact:
    """A view is as finite as what it views."""
    return replace(fact, alias_of=source.seq, finite=source.fact.finite, unchecked=source.fact.unchecked)


def _attributes(
    observer: Observer, op_type: str, inputs: Sequence[Any], attrs: Sequence[Any], operands: Sequence[Operand]
) -> dict[str, Any]:
    def attr(key: str) -> Any:
        return next((attrs[i + 1] for i in range(0, len(attrs), 2) if attrs[i] == key), None)

    def constant(index: int) -> Any:
        return observer.elements(inputs[index]) if index < len(inputs) else None

    return attributes_of(op_type, Asked(attr, constant, operands))
