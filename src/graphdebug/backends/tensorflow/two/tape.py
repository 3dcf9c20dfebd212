"""GradientTape: ties each backward op to its forward node by the tensors that gradient functions are given."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import backprop, imperative_grad
from tensorflow.python.eager.context import executing_eagerly
from tensorflow.python.framework import ops
from tensorflow.python.framework.indexed_slices import IndexedSlices
from tensorflow.python.framework.ops import EagerTensor

from graphdebug.backends.tensorflow.sites import build_sites
from graphdebug.backends.tensorflow.two.ledger import Made
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.model.event import Gradient, Notice, Site

__all__ = ["Tape", "watch_tape"]

T = TypeVar("T")
_MOST_NOTED = 100
_MOST_WALKED = 20_000


def watch_tape(observer: Observer, tape: Tape, gradient_function: Callable[..., Any]) -> Callable[[], None]:
    """Follow every gradient computation from now on; return the way back.

    Args:
        observer: the state of the recording.
        tape: what follows them.
        gradient_function: stands in for TensorFlow's gradient function of one op: the tape's, or what compiled
            code has for it.

    """
    original = imperative_grad.imperative_grad
    tape.compute = original
    pywrap_tfe.TFE_Py_RegisterGradientFunction(gradient_function)
    _hide(Tape.gradients, imperative_grad.__file__)
    _hide(Tape.gradient_function, backprop.__file__)
    imperative_grad.imperative_grad = tape.gradients
    push = backprop.GradientTape._push_tape

    pop = backprop.GradientTape._pop_tape

    def opened(self: Any) -> None:
        if executing_eagerly():
            observer.tape_opened()
        else:
            graph = ops.get_default_graph()
            around = sys._getframe(2).f_code.co_name.removeprefix(
                "tf__"
            )  # as AutoGraph calls what it converted
            tape.opened = Opened(weakref.ref(graph), graph.version, around)
        push(self)

    def closed(self: Any) -> None:
        if executing_eagerly():
            observer.tape_closed()
        pop(self)

    for method in (opened, closed):
        _hide(method, backprop.__file__)
    backprop.GradientTape._push_tape, backprop.GradientTape._pop_tape = opened, closed

    def restore() -> None:
        backprop.GradientTape._push_tape, backprop.GradientTape._pop_tape = push, pop
        pywrap_tfe.TFE_Py_RegisterGradientFunction(backprop._gradient_function)
        if imperative_grad.imperative_grad == tape.gradients:
            imperative_grad.imperative_grad = original

    return restore


def _hide(function: Any, file: str) -> None:
    """Give our frames TensorFlow's file name: it leaves its own frames out of errors and of op tracebacks."""
    function.__code__ = function.__code__.replace(co_filename=file)


class Opened(NamedTuple):
    """Where a tape was opened in a function being traced."""

    graph: weakref.ref[Any]
    built: int
    """How many ops the graph had then."""
    function: str
    """The user's function around it."""


class Tape:
    """Follows gradients from the target back to the sources."""

    compute: Callable[..., Any]

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._ledger = observer.ledger
        self.opened: Opened | None = None
        """Where a tape was opened last in a function being traced."""
        self._noted: set[tuple[str, ...]] = set()
        """Variables without a gradient, and those not asked for, that were told already."""

    def gradients(
        self, tape: Any, target: Any, sources: Any, output_gradients: Any = None, sources_raw: Any = None,
        unconnected_gradients: Any = imperative_grad.UnconnectedGradients.NONE,
    ) -> Any:  # fmt: skip
        """Stand in for `imperative_grad`: compute the same, and know that it is the backward pass."""
        state = self._ledger.state
        outer = state.targets, state.visited
        self._quietly("reading the target of a gradient", lambda: self._begin(target))
        state.backward += 1
        try:
            found = self.compute(tape, target, sources, output_gradients, sources_raw, unconnected_gradients)
        finally:
            state.backward -= 1
            state.targets, state.visited = outer
        if executing_eagerly():
            self._observer.backward_ended()
        self._quietly("recording gradients", lambda: self._of_variables(sources_raw or sources, found))
        self._quietly("noting missing gradients", lambda: self._incomplete(tape, sources_raw or sources, found))
        if found and all(one is None for one in found):
            self._quietly("noting a cut graph", lambda: self._unreached(target, sources_raw or sources))
        return found

    def _unreached(self, target: Any, sources: Any) -> None:
        """No source got a gradient: keep the target for the error that follows, and say so if none does."""
        observer = self._observer
        observer.unreached = weakref.ref(target[0])
        observer.before_tape = None if executing_eagerly() else self._before_tape(target[0])
        made = self._ledger.made.get(getattr(target[0], "_id", -1))
        if not executing_eagerly() or made is None or made.seq is None:
            return
        frame = observer.sink.sites.position(sys._getframe())
        names = [self._ledger.name_of(one) if hasattr(one, "handle") else "" for one in sources]
        detail = {"target": made.seq, "sources": names, "recorded_after": observer.tape_began}
        if observer.tape_ended > observer.tape_began:
            detail["recorded_until"] = observer.tape_ended
        site = observer.sink.sites.resolve(frame) if frame is not None else None
        text = "a gradient was asked for and is None for every source"
        observer.emit(Notice(observer.sink.next_seq(), "no_gradient", text, site, detail))

    def _before_tape(self, target: Any) -> Site | None:
        """Return the line of the last op on the way to `target` that takes what variables gave, where it was
        built before the tape was opened.
        """
        opened = self.opened
        graph: Any = opened.graph() if opened is not None else None
        if opened is None or graph is None or getattr(target, "graph", None) is not graph:
            return None
        count = opened.built
        built: Any = graph
        order = {op.name: index for index, op in enumerate(built.get_operations())}
        waiting, seen, early = [target.op], set[str](), list[Any]()
        while waiting and len(seen) < _MOST_WALKED:
            op = waiting.pop()
            if op.name in seen:
                continue
            seen.add(op.name)
            if order.get(op.name, count) < count and op.inputs:
                early.append(op)
            waiting += [one.op for one in op.inputs]
        early.sort(key=lambda op: -order[op.name])
        reads = any("ReadVariable" in op.type for op in early)
        sites = (build_sites(op, self._observer.sink.sites) for op in early if "ReadVariable" not in op.type)
        found = next((some for some in sites if some), ()) if reads else ()
        here = (one for one in found if one.function.rpartition(".")[2] == opened.function)
        return next(here, next(iter(found), None))

    def _incomplete(self, tape: Any, sources: Any, found: Any) -> None:
        """Some variables got a gradient: say once which did not, and which the tape followed for nothing."""
        if self._observer.options.gradients == "none" or not found or all(one is None for one in found):
            return
        followed = tape.watched_variables() if hasattr(tape, "watched_variables") else ()
        if all(one is not None for one in found) and {*map(id, followed)} <= {*map(id, sources)}:
            return  # as nearly always: no names and no handles are needed
        given = list(zip(sources, found, strict=False))
        pairs = [(one, grad) for one, grad in given if hasattr(one, "handle")]
        asked = {id(one.handle) for one, _ in pairs}  # names differ: Keras has its own for the same variable
        left = [one for one in followed if id(one.handle) not in asked] if pairs else []
        if not left and all(grad is not None for _, grad in given):
            return
        missing = [self._ledger.name_of(one) for one, grad in pairs if grad is None]
        unasked = [self._ledger.name_of(one) for one in left]
        plain = [at for at, (one, grad) in enumerate(given) if grad is None and not hasattr(one, "handle")]
        key = (*missing, "", *unasked, "", *map(str, plain))
        if len(key) == 2 or key in self._noted or len(self._noted) > _MOST_NOTED:
            return
        self._noted.add(key)
        sink = self._observer.sink
        frame = sink.sites.position(sys._getframe())
        site = sink.sites.resolve(frame) if frame is not None else None
        detail = {"missing": missing, "unasked": unasked, "asked": len(pairs), "plain": plain}
        text = "gradients of some variables are None, or were not asked for"
        self._observer.emit(Notice(sink.next_seq(), "some_gradients", text, site, detail))

    def gradient_function(
        self, op_name: str, attrs: Any, count: int, inputs: Any, outputs: Any, out_grads: Any, skip: Any,
        scope: Any,
    ) -> Any:  # fmt: skip
        """Stand in for TensorFlow's gradient function of one op."""
        state = self._ledger.state
        outer = state.forward
        state.forward = owner = self._quietly(
            "tying a gradient to its op", lambda: self._owner(op_name, outputs, out_grads)
        )
        if owner is not None and self._observer.options.gradients == "all":
            self._quietly("recording gradients", lambda: self._of_outputs(owner, out_grads))
        try:
            grads = backprop._gradient_function(op_name, attrs, count, inputs, outputs, out_grads, skip, scope)
        finally:
            state.forward = outer
        if owner is not None:
            self._quietly("following a gradient", lambda: self._follow(owner, grads))
        return grads

    def _quietly(self, where: str, work: Callable[[], T]) -> T | None:
        if self._observer.sink.recording:
            try:
                return work()
            except Exception as error:
                self._observer.sink.tool_error(where, error)
        return None

    def _begin(self, target: Any) -> None:
        made = (self._ledger.made.get(getattr(one, "_id", -1)) for one in target)
        self._ledger.state.targets = tuple(one for one in made if one is not None)
        self._ledger.state.visited = set()

    def _owner(self, op_name: str, outputs: Sequence[Any] | None, out_grads: Sequence[Any]) -> int | None:
        """Return the forward node: it made `outputs`; where the tape kept none, the gradients tell."""
        for output in outputs or ():
            made = self._ledger.made.get(getattr(output, "_id", -1))
            if made is not None and made.seq is not None:
                return made.seq
        state = self._ledger.state
        candidates = list(state.targets)
        for grad in out_grads:
            candidates.extend(self._ledger.gradient_of.get(getattr(grad, "_id", -1)) or ())
        seqs = {one.seq for one in candidates if one.seq is not None} - state.visited
        fitting = [seq for seq in seqs if (ran := self._ledger.ran.get(seq)) is not None and ran.op == op_name]
        owner = max(fitting, default=None)
        if owner is not None:
            state.visited.add(owner)
        return owner

    def _follow(self, owner: int, grads: Any) -> None:
        """The gradients of a node's inputs are the gradients of the outputs of the nodes before it."""
        ran = self._ledger.ran.get(owner)
        if ran is None:
            return
        several = grads if isinstance(grads, list | tuple) else (grads,)
        for grad, made in zip(several, ran.inputs, strict=False):
            tensor_id = getattr(grad, "_id", None)
            if tensor_id is None:
                continue
            before = self._ledger.gradient_of.get(tensor_id) or ()
            self._ledger.gradient_of[tensor_id] = (*before, made)

    def _of_outputs(self, owner: int, grads: Sequence[Any]) -> None:
        """What a gradient function is given is the gradient of each output, all uses of it summed up."""
        for output, grad in enumerate(grads):
            dense = _dense(grad)
            made = self._ledger.made.get(getattr(dense, "_id", -1))
            if owner < 0 and hasattr(dense, "graph"):
                self._observer.links.incoming(owner, output, dense)
            elif made is not None and made.seq is not None:  # else it is where the tape began, or a zero
                self._observer.emit(self._gradient(dense, node=owner, output=output))

    def _of_variables(self, sources: Any, grads: Any) -> None:
        if self._observer.options.gradients == "none" or grads is None:
            return
        found = []
        for source, grad in zip(sources, grads, strict=False):
            dense = _dense(grad)
            name = self._ledger.name_of(source) if hasattr(source, "handle") else ""
            if isinstance(dense, EagerTensor):
                found.append(self._gradient(dense, name=name))
            elif name and hasattr(dense, "graph"):
                self._observer.links.gradient(name, dense)
        self._observer.emit_all(found)

    def _gradient(self, grad: Any, *, name: str = "", node: int | None = None, output: int = 0) -> Gradient:
        sink = self._observer.sink
        made: Made = self._observer.made(grad)
        fact = self._observer.sized(grad, made.fact) if name else made.fact
        return Gradient(sink.next_seq(), sink.step, fact, name, node, output, producer=made.seq)


def _dense(grad: Any) -> Any:
    """Return a gradient's tensor; IndexedSlices hold the rows that were touched."""
    if isinstance(grad, EagerTensor):  # as nearly always: the other question takes long
        return grad
    return grad.values if isinstance(grad, IndexedSlices) else grad
