"""Eager ops: every op that TensorFlow 2 runs at once, seen through its own op callbacks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from msgspec.structs import replace
from tensorflow.python.eager import context
from tensorflow.python.framework import op_callbacks
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

from graphdebug.backends.tensorflow.attributes import Asked, attributes_of
from graphdebug.backends.tensorflow.facts import dtype_word
from graphdebug.backends.tensorflow.two.handles import name_of_handle
from graphdebug.backends.tensorflow.two.ledger import Made, Ran
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.ops import (
    ASKS,
    CASTS,
    COUNTING,
    PLUMBING,
    UNSEEN,
    VIEWS,
    BackwardWords,
    Op,
    Ops,
)
from graphdebug.backends.tensorflow.two.pipelines import Pipelines
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.backends.whole import is_whole
from graphdebug.model.event import Family, Node, Operand, Origin, Phase, Site, TensorFact

__all__ = ["EagerOps", "watch_ops"]

_MAIN_THREAD = threading.main_thread().ident


def watch_ops(seen: Callable[..., None]) -> Callable[[], None]:
    """Have `seen` called after every eager op, and when an op is added to a function, from now on; return the
    way back.
    """

    def restore() -> None:
        if seen in context.context().op_callbacks:
            op_callbacks.remove_op_callback(seen)

    op_callbacks.add_op_callback(seen)
    return restore


class EagerOps:
    """Eager ops as they run."""

    def __init__(self, observer: Observer, pipelines: Pipelines) -> None:
        self.observer = observer
        self.known = Ops()
        self.backwards = BackwardWords()
        self._pipelines = pipelines
        self._ledger = observer.ledger
        self._sink = observer.sink
        self._context = context.context()

    # TensorFlow gives op_name and graph by keyword
    def seen(
        self,
        op_type: str | bytes,
        inputs: Any,
        attrs: Any,
        outputs: Any,
        op_name: Any = None,
        graph: Any = None,
    ) -> None:
        """TensorFlow ran `op_type`, or added it to the function `graph`."""
        if graph is None:
            self._ran(op_type, inputs, attrs, outputs, sys._getframe(1))
            return
        try:
            self.observer.links.built(op_type, inputs, outputs, op_name, graph)
        except Exception as error:
            self._sink.tool_error(f"recording the making of {op_type!r}", error)

    def _ran(
        self, op_type: str | bytes, inputs: Sequence[Any], attrs: Sequence[Any], outputs: Sequence[Any],
        frame: FrameType,
    ) -> None:  # fmt: skip
        state = self._ledger.state
        if state.busy or not self._context.executing_eagerly():
            return
        op = self.known[op_type]
        if not self._sink.recording:
            self.observer.phase(op.family)  # an update ends a step, recorded or not
            return
        state.busy = True
        try:
            if op.traits & PLUMBING:
                self._variable(op.name, inputs, outputs, frame)
            elif not op.traits & UNSEEN:
                self._record(op, inputs, attrs, outputs, frame)
        except Exception as error:
            self._sink.tool_error(f"recording {op.name}", error)
        finally:
            state.busy = False
        if self.observer.ended is not None:
            self.observer.ended(frame, outputs)

    def _record(
        self, op: Op, inputs: Sequence[Any], attrs: Sequence[Any], outputs: Sequence[Any], frame: FrameType
    ) -> None:
        observer = self.observer
        if op.name == "MakeIterator":
            self._pipelines.iterated(inputs[1], frame)
        seq = self._sink.next_seq()
        made = tuple([self.made_of(op, index, one, frame) for index, one in enumerate(inputs)])
        if op.traits & COUNTING:
            made = self._measured(op, made, inputs, outputs)
        phase = observer.phase(op.family)
        forward = self._ledger.forward_of(op.name, inputs, outputs) if phase == "backward" else None
        function, family = self._words(op, forward)
        module = (self._context.scope_name or "").rstrip("/")
        wanted = observer.wants(op.name, function, module, phase)
        facts = self._outputs(op, seq if wanted else None, made, outputs)
        if not wanted:
            return
        self._ledger.ran[seq] = Ran(op.name, made, function, family)
        position = self._sink.sites.position(frame)
        site = None if position is None else self._sink.sites.resolve(position)
        operands = operands_of(op, made)
        attributes = (
            attributes_of(op.name, asked_of(observer, inputs, attrs, operands)) if op.traits & ASKS else {}
        )
        observer.emit(
            self.node(
                op, seq, phase, site, function, family, module, forward, operands, facts, attributes,
                self._sink.now(),
            )
        )  # fmt: skip

    def node(
        self, op: Op, seq: int, phase: Phase, site: Site | None, function: str, family: Family, module: str,
        forward: int | None, operands: tuple[Operand, ...], facts: tuple[TensorFact, ...],
        attributes: dict[str, Any], time: float,
    ) -> Node:  # fmt: skip
        """Return one execution of `op` as an event."""
        thread = threading.get_ident()
        return Node(
            seq, self._sink.step, op.name, function, family, "tensorflow", "eager", phase, module=module,
            site=site, inputs=operands, outputs=facts, forward=forward,
            mutates=(0,) if family == "assign" and operands else (), attributes=attributes, time=time,
            thread=0 if thread == _MAIN_THREAD else thread,
        )  # fmt: skip

    def made_of(self, op: Op, index: int, tensor: Any, frame: FrameType) -> Made:
        """Return where an input came from.

        A generated function that is given a variable reads it in C++, unseen: its frame has the variable.
        """
        if self._ledger.made.get(tensor._id) is None and index < len(op.arguments):
            variable = frame.f_locals.get(op.arguments[index])
            if isinstance(variable, BaseResourceVariable):
                fact = self.observer.fact(tensor, look=False)
                self._ledger.made[tensor._id] = Made(fact, "variable", name=self._ledger.name_of(variable))
        return self.observer.made(tensor)

    def _measured(
        self, op: Op, made: tuple[Made, ...], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> tuple[Made, ...]:
        """Have measured what an op calculates with that may leave the range of whole numbers."""
        if op.traits & CASTS and not (outputs and is_whole(dtype_word(outputs[0].dtype))):
            return made
        return tuple([
            self.observer.measured(one, tensor) if op.traits & CASTS or is_whole(one.fact.dtype) else one
            for one, tensor in zip(made, inputs, strict=True)
        ])  # fmt: skip

    def _words(self, op: Op, forward: int | None) -> tuple[str, Family]:
        """A backward op has the words of its forward op, whatever op it is made of."""
        owner = None if forward is None else self._ledger.ran.get(forward)
        if owner is None:
            return op.function, op.family
        return self.backwards[owner.function], owner.family

    def _outputs(
        self, op: Op, seq: int | None, made: Sequence[Made], outputs: Sequence[Any]
    ) -> tuple[TensorFact, ...]:
        """Look at the outputs and remember what made them; without `seq` the node is not recorded."""
        source = made[0] if op.traits & VIEWS and made else None
        facts = []
        for index, tensor in enumerate(outputs):
            measured = bool(op.traits & COUNTING) and is_whole(dtype_word(tensor.dtype))
            fact = self.observer.fact(tensor, look=seq is not None and source is None, measured=measured)
            if source is not None:
                fact = _alias(fact, source)
            origin: Origin = "unknown" if seq is None else "node"
            self._ledger.made[tensor._id] = Made(fact, origin, seq, index)
            facts.append(fact)
        return tuple(facts)

    def _variable(self, op_type: str, inputs: Sequence[Any], outputs: Sequence[Any], frame: FrameType) -> None:
        """A variable was made or read: remember its name with its handle, and with the value read."""
        names = self._ledger.variables
        handle = outputs[0] if op_type == "VarHandleOp" else inputs[0] if inputs else None
        if handle is None:
            return
        if handle._id not in names:
            name = name_of_handle(handle, frame)
            if name:
                names[handle._id] = name
        if op_type == "ReadVariableOp":
            value = outputs[0]
            fact = self.observer.fact(value, look=False)
            self._ledger.made[value._id] = Made(fact, "variable", name=names.get(handle._id, ""))


def operands_of(op: Op, made: Sequence[Made]) -> tuple[Operand, ...]:
    """Return what made the inputs of `op` as its operands."""
    role = word(op.name).role
    return tuple([one.operand(role(index)) for index, one in enumerate(made)])


def asked_of(
    observer: Observer, inputs: Sequence[Any], attrs: Sequence[Any], operands: Sequence[Operand]
) -> Asked:
    """Return what one op was given besides its tensors."""

    def attr(key: str) -> Any:
        return next((attrs[i + 1] for i in range(0, len(attrs), 2) if attrs[i] == key), None)

    def constant(index: int) -> Any:
        return observer.elements(inputs[index]) if index < len(inputs) else None

    return Asked(attr, constant, operands)


def _alias(fact: TensorFact, source: Made) -> TensorFact:
    """A view is as finite as what it views."""
    return replace(fact, alias_of=source.seq, finite=source.fact.finite, unchecked=source.fact.unchecked)
