"""Recording every op that torch executes: a dispatch mode whose hot path only appends to a list."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.facts import describe
from graphdebug.backends.torch.looking import looker
from graphdebug.backends.torch.modules import Modules
from graphdebug.backends.torch.nodes import NodeBuilder, Raw
from graphdebug.backends.torch.ops import Op, op_of
from graphdebug.backends.torch.origins import Origins, Trace, version_of
from graphdebug.backends.torch.stack import Place, StackReader
from graphdebug.options import Options

__all__ = ["EagerRecorder"]

_autograd_node = torch._C._current_autograd_node
_sequence_number = torch._C._autograd._get_sequence_nr
_CALL_OP = torch._ops.OpOverload.__call__.__code__
_ACCUMULATE = 2**63
_BATCH = 512


class EagerRecorder(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed by mypy
    """The dispatch mode, and what it knows of the run: origins of tensors, modules, the running phase."""

    supports_higher_order_operators = True

    def __init__(self, sink: Sink, options: Options) -> None:
        super().__init__()
        self.sink = sink
        self.options = options
        self.stack = StackReader(sink.sites)
        self.origins = Origins()
        self.modules = Modules(sink, self.stack)
        self.builder = NodeBuilder(sink, options)
        self.watchers: list[Callable[[Raw, Any], None]] = []
        """Called after each recorded op with its raw record and its result."""
        self.in_optimizer = threading.local()
        self.step_ended = False
        self._muted: set[int] = set()
        self._raised: tuple[str, Raw] | None = None
        self._look = looker(options.level)
        self._raws: list[Raw] = []
        self._owners: dict[tuple[int, int], int] = {}
        self._last_number: dict[int, int] = {}
        self._engine_place: tuple[int, Place] | None = None
        self._zero = time.perf_counter() - sink.now()

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Leave compiled code compiled: it is recorded from its graph, not op by op from here."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # wrapping the handler would import all of dynamo at the first op

    def attach(self) -> None:
        """Start to see ops, in this thread and in the engine threads it starts."""
        self._last_number[threading.get_ident()] = _sequence_number() - 1
        self.__enter__()

    def detach(self) -> None:
        """Stop seeing ops, leaving the mode stack as it was."""
        self.__exit__(None, None, None)
        self.origins.clear()
        self.modules.clear()
        self._owners.clear()

    def drain(self) -> None:
        """Emit the nodes of all that ran."""
        self.flush()
        self.origins.prune()
        if len(self._owners) > 100_000:
            self._owners = dict(list(self._owners.items())[-50_000:])

    def flush(self) -> None:
        """Emit the nodes seen so far."""
        self.sink.emit(self.builder.build(self.take_raws()))

    def take_raws(self) -> list[Raw]:
        """Return the records of the ops seen and not yet emitted; the caller has them now."""
        raws, self._raws = self._raws, []
        return raws

    def give_raws(self, raws: list[Raw]) -> None:
        """Take records over, to be emitted before those of later ops."""
        self._raws = raws + self._raws

    def open_step(self) -> bool:
        """End a step that is over, since the next has begun. Return whether an optimizer is running."""
        optimizing = bool(getattr(self.in_optimizer, "depth", 0))
        if self.step_ended and not optimizing:
            self.step_ended = False
            self.sink.advance_step()
        return optimizing

    @contextmanager
    def muted(self) -> Iterator[None]:
        """While inside, record no op of this thread: what runs is recorded by other means."""
        thread = threading.get_ident()
        if thread in self._muted:
            yield
            return
        self._muted.add(thread)
        try:
            yield
        finally:
            self._muted.discard(thread)

    def raised_raw(self, error: BaseException) -> Raw | None:
        """Return the record of the op that raised `error`, if this recorder saw it."""
        if self._raised is not None and self._raised[0] == f"{type(error).__name__}: {error}":
            return self._raised[1]
        return None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op = op_of(func)
        if not op.recorded:
            return func(*args, **kwargs)
        try:
            raw = self._before(op, args, kwargs, sys._getframe(1))
        except Exception as error:
            self.sink.tool_error("recording an op", error)
            return func(*args, **kwargs)
        if raw is None:
            return func(*args, **kwargs)
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            self._raised_by(raw, error)
            _drop_op_call(error.__traceback__)
            raise
        raw.ended = time.perf_counter() - self._zero
        try:
            self._after(op, raw, args, kwargs, result)
        except Exception as error:
            self.sink.tool_error("recording an op", error)
        return result

    def _before(self, op: Op, args: Any, kwargs: Any, frame: Any) -> Raw | None:
        thread = threading.get_ident()
        node = _autograd_node()
        optimizing = getattr(self.in_optimizer, "depth", 0)
        if self.step_ended and not optimizing:
            self.open_step()
        if not self.sink.recording or thread in self._muted:
            return None
        forward: int | None = None
        name = ""
        module = None
        if node is None:
            place = self.stack.read(frame)
            phase = "optimizer" if optimizing else "forward"
            module = place.module
        else:
            number = node._sequence_nr()
            name = node.name()
            if self.stack.is_engine(frame):
                place, phase = self._place_of_engine(frame), "backward"
            else:
                place = self.stack.read(frame)
                phase = "recompute" if place.checkpoint else "backward"
                module = place.module
            if number < _ACCUMULATE:
                forward = self._owners.get((thread, number))
                if forward is None:
                    forward = next((s for (t, n), s in self._owners.items() if n == number), None)
        path = self.modules.path(module, frame) if module is not None else ""
        raw = Raw(self.sink.next_seq(), self.sink.step, op, phase, place, path, thread)
        raw.forward, raw.name = forward, name
        if name == "torch::autograd::AccumulateGrad":
            raw.parameter = self.modules.name_of(node.variable)
        raw.began = time.perf_counter() - self._zero
        self._take_inputs(raw, op, args, kwargs)
        if phase != "backward":
            current = _sequence_number() - 1
            if current != self._last_number.get(thread, -2):
                self._last_number[thread] = current
                self._owners.setdefault((thread, current), raw.seq)
        return raw

    def _place_of_engine(self, frame: Any) -> Place:
        task = torch._C._current_graph_task_id()
        if self._engine_place is None or self._engine_place[0] != task:
            self._engine_place = task, self.stack.read(frame)
        return self._engine_place[1]

    def _take_inputs(self, raw: Raw, op: Op, args: Any, kwargs: Any) -> None:
        for index, value in enumerate(args):
            self._take(raw, op.arguments[index] if index < len(op.arguments) else "", value)
        for key, value in kwargs.items():
            self._take(raw, key, value)

    def _take(self, raw: Raw, argument: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            raw.inputs.append((argument, self._trace_of(value, raw)))
        elif isinstance(value, list | tuple) and any(isinstance(one, torch.Tensor) for one in value):
            raw.inputs.extend(
                (argument, self._trace_of(one, raw)) for one in value if isinstance(one, torch.Tensor)
            )
        else:
            raw.values[argument] = value

    def _trace_of(self, tensor: torch.Tensor, raw: Raw) -> Trace:
        trace = self.origins.get(tensor)
        if trace is None:
            return self._first_seen(tensor, raw)
        version = version_of(tensor)
        if version != trace.version:
            writer = self.origins.writer(tensor, version)
            trace = trace._replace(seq=trace.seq if writer is None else writer, version=version)
            self.origins.put(tensor, trace)
        if trace.origin == "node" and type(tensor) is torch.nn.Parameter:
            # Initialised or updated inside the block: still the parameter, not the output of that op.
            found = self.modules.name_of(tensor)
            if found:
                trace = trace._replace(origin=found[1], name=found[0])
                self.origins.put(tensor, trace)
        return trace

    def _first_seen(self, tensor: torch.Tensor, raw: Raw) -> Trace:
        found = self.modules.name_of(tensor)
        key = describe(tensor)
        if found:
            version = version_of(tensor)
            return Trace(key, self.origins.writer(tensor, version), 0, found[1], found[0], version=version)
        name = "" if raw.phase == "backward" else self.modules.variable_name(tensor, sys._getframe(4))
        origin = "constant" if raw.op.function == "constant" else "argument"
        look = None
        if self._look is not None and raw.phase == "forward":
            with torch._C._DisableTorchDispatch():
                look = self._look(tensor)
        return self._put(tensor, Trace(key, None, 0, origin, name, look))  # type: ignore[arg-type]

    def _put(self, tensor: torch.Tensor, trace: Trace) -> Trace:
        full = trace._replace(ref=weakref.ref(tensor), version=version_of(tensor))
        self.origins.put(tensor, full)
        return full

    def _after(self, op: Op, raw: Raw, args: Any, kwargs: Any, result: Any) -> None:
        many = result if isinstance(result, list | tuple) else (result,)
        for index, value in enumerate(many):
            if isinstance(value, torch.Tensor):
                self._take_output(op, raw, index, value)
        if op.writes:
            self._take_writes(op, raw, args, kwargs)
        self._raws.append(raw)
        for watch in self.watchers:
            watch(raw, result)
        if len(self._raws) >= _BATCH:
            self.flush()

    def _take_output(self, op: Op, raw: Raw, index: int, value: torch.Tensor) -> None:
        look = None
        if self._look is not None and not op.views and not op.unborn:
            with torch._C._DisableTorchDispatch():
                look = self._look(value)
        trace = Trace(describe(value), raw.seq, index, "node", "", look, weakref.ref(value))
        trace = trace._replace(version=version_of(value) + (1 if op.writes else 0))
        if op.views:
            source = next((one for name, one in raw.inputs if name == op.viewed), None)
            if source is not None:
                raw.alias_of = source.seq
                # Below autograd a view does not share its base's version counter yet: take it from the base.
                trace = trace._replace(name=source.name, look=source.look, version=source.version)
        raw.outputs.append(trace)
        self.origins.put(value, trace)

    def _take_writes(self, op: Op, raw: Raw, args: Any, kwargs: Any) -> None:
        named = dict(zip(op.arguments, args, strict=False)) | kwargs
        for argument in op.writes:
            value = named.get(argument)
            for one in value if isinstance(value, list | tuple) else (value,):
                if isinstance(one, torch.Tensor):
                    self.origins.wrote(one, raw.seq, version_of(one) + 1)

    def _raised_by(self, raw: Raw, error: Exception) -> None:
        raw.ended = time.perf_counter() - self._zero
        raw.execution = "raised"
        self._raws.append(raw)
        self._raised = f"{type(error).__name__}: {error}", raw


def _drop_op_call(trace: TracebackType | None) -> None:
    """Take torch's frame that calls the op for us out of the traceback: without us C++ calls it."""
    called = trace.tb_next if trace is not None else None
    if trace is not None and called is not None and called.tb_frame.f_code is _CALL_OP:
        trace.tb_next = called.tb_next
