"""Recording every op that torch executes: a dispatch mode whose hot path only appends to a list."""

from __future__ import annotations

import sys
import threading
import time
from bdb import BdbQuit
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from graphdebug.backends.protocol import Sink
from graphdebug.backends.torch.code.stack import ENGINE_CALL, Place, StackReader
from graphdebug.backends.torch.failing.raising import drop_op_call, numbers_as_tensors
from graphdebug.backends.torch.filters import Filters
from graphdebug.backends.torch.native import RECORD
from graphdebug.backends.torch.nodes.arguments import Arguments
from graphdebug.backends.torch.nodes.facts import KINDS_HELD
from graphdebug.backends.torch.nodes.lines import Lines
from graphdebug.backends.torch.nodes.looking import glances, looker, measurer, quick_looker
from graphdebug.backends.torch.nodes.modules import Modules
from graphdebug.backends.torch.nodes.numbers import Numbers, Thread
from graphdebug.backends.torch.nodes.ops import KNOWN, Op, op_of
from graphdebug.backends.torch.nodes.origins import Origins, Trace, Write, new_history
from graphdebug.backends.torch.nodes.records import TENSOR, Accumulated, Raw, Record
from graphdebug.backends.torch.nodes.results import Results
from graphdebug.backends.torch.nodes.writing import NodeBuilder
from graphdebug.model.event import Site, Stats
from graphdebug.options import Options

__all__ = ["EagerRecorder", "Watcher"]

_autograd_node = torch._C._current_autograd_node
_sequence_number = torch._C._autograd._get_sequence_nr
_graph_task = torch._C._current_graph_task_id
_thread_ident = threading.get_ident
_now = time.perf_counter
_ACCUMULATE = 2**63
"""Sequence numbers from here on are those of AccumulateGrad, which has none of its own."""
_BATCH = 64
"""Records that wait to be written as lines: few enough that they are still in the cache."""
_DISPATCH = "__torch_dispatch__"

Watcher = Callable[[Raw, Any], None]
"""Called after each recorded op with its record and its result."""


class EagerRecorder(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed by mypy
    """The dispatch mode, and what it knows of the run: origins of tensors, modules, the running phase."""

    supports_higher_order_operators = True

    def __init__(self, sink: Sink, options: Options) -> None:
        super().__init__()
        self.sink = sink
        self.options = options
        self.stack = StackReader(sink.sites)
        self.origins = Origins()
        self.modules = Modules(sink, self.stack, self.origins)
        self.builder = NodeBuilder(sink, options)
        self.builder.flattened = self.modules.flattened
        self._lines = None if RECORD is None else Lines(self.builder)
        self.anomaly_site: Site | None = None
        """The forward line that anomaly mode blamed last."""
        self.filters = Filters(options)
        self._filtered = self.filters.active
        self.watchers: list[Watcher] = []
        self.breakpoints: Any = None
        """Where the recording has some: what values inside compiled graphs are shown to."""
        self.backwards: deque[Place] = deque(maxlen=16)
        """Where the last backward passes were called."""
        self.step_ended = False
        self.attached = False
        self._look = looker(options.level)
        self._quick_look = quick_looker(options.level)
        self._measure = measurer(options.level)
        self._raws: deque[Record] = deque()
        self._written_last: Record | None = None
        self._numbers = Numbers()
        self._threads = self._numbers.threads
        self._owner_elsewhere = self._numbers.owner_elsewhere
        self._prune_at = 256
        """Number of tensors known at which those that are gone are looked for."""
        self._raised: tuple[str, Raw] | None = None
        self._zero = _now() - sink.now()
        self._arguments = Arguments(
            self.modules, self.origins, self._look, self._measure,
            None if options.gradients == "none" else sink.next_seq,
        )  # fmt: skip
        self._note_writes, self._accumulated = self._arguments.note_writes, self._arguments.accumulated
        self._results = Results(self.origins, self._look, self._measure)
        if RECORD is not None and not self._filtered:
            self.__dict__[_DISPATCH] = MethodType(self._make_clerk().dispatch, self)

    def _make_clerk(self) -> Any:
        """Return what records ops in compiled code; it is given all it needs once."""
        held = (
            self.sink, self._threads, self.origins.made, self.modules.paths, self.stack.walker, self.stack,
            Tensor, TENSOR, ENGINE_CALL, self.sink.next_seq, _autograd_node, _sequence_number, _graph_task,
            _now, self._look, self._quick_look, self._measure, KINDS_HELD, self._raws, self._raws.append,
            self.watchers, KNOWN, op_of, None if self.options.gradients == "none" else Accumulated, Stats,
            self.origins.written, Write, new_history,
        )  # fmt: skip
        return RECORD.Clerk(held, _BATCH, *glances(self.options.level))

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Leave compiled code compiled: it is recorded from its graph, not op by op from here."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # wrapping the handler would import all of dynamo at the first op; see `attach`

    def attach(self) -> None:
        """Start to see ops, in this thread and in the engine threads it starts."""
        self.thread()
        self.attached = True
        self.__enter__()

    def detach(self) -> None:
        """Stop seeing ops, leaving the mode stack as it was."""
        self.attached = False
        self.__exit__(None, None, None)
        self.__dict__.pop(_DISPATCH, None)  # it refers to this recorder
        self.origins.clear()
        self.modules.clear()
        self._threads.clear()

    def drain(self) -> None:
        """Emit the nodes of all that ran."""
        self.flush()
        if len(self.origins.made) > self._prune_at:
            self.origins.prune()
            self.modules.prune()
            self._prune_at = 2 * len(self.origins.made) + 256
        self._numbers.forget_before(self.builder.oldest_forward)

    def flush(self) -> None:
        """Emit the nodes seen so far."""
        raws = self.take_raws()
        self._written_last = raws[-1] if raws else self._written_last
        if self._lines is not None:
            self.sink.emit(self._lines.batch(raws, self._zero))
        else:
            self.sink.emit(self.builder.build(raws, self._zero))

    def take_raws(self) -> list[Record]:
        """Return the records of the ops seen and not yet emitted; the caller has them now."""
        raws = self._raws
        return [raws.popleft() for _ in range(len(raws))]

    def give_raws(self, raws: list[Record]) -> None:
        """Take records over, to be emitted before those of later ops."""
        self._raws.extendleft(reversed(raws))

    def open_step(self) -> bool:
        """End a step that is over, since the next has begun. Return whether an optimizer is running."""
        optimizing = bool(self.thread().optimizing)
        if self.step_ended and not optimizing:
            self.step_ended = False
            self.sink.advance_step()
        return optimizing

    @contextmanager
    def muted(self) -> Iterator[None]:
        """While inside, record no op of this thread: what runs is recorded by other means, or is our own."""
        thread = self.thread()
        thread.muted += 1
        try:
            yield
        finally:
            thread.muted -= 1

    def thread(self) -> Thread:
        """Return what is known of the calling thread."""
        return self._numbers.thread()

    def raised_by(self, error: BaseException) -> Raw | None:
        """Return the record of the op that raised `error`, if this recorder saw it."""
        words = f"{type(error).__name__}: {error}".rstrip()  # TorchScript puts words before the op's own
        return (
            self._raised[1] if self._raised is not None and words.endswith(self._raised[0].rstrip()) else None
        )

    @property
    def raised(self) -> str | None:
        """Type and message of the exception that an op raised last."""
        return self._raised[0] if self._raised is not None else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an op and record it; the compiled recorder does the same where it was built."""
        kwargs = kwargs or {}
        if not self.attached:
            return func(*args, **kwargs)
        op = op_of(func)
        record = self._opened(op, args, kwargs, sys._getframe(1)) if op.recorded else None
        try:
            result = op.call(*args, **kwargs)
        except Exception as error:
            again = self._again(func, args, kwargs, record, error)
            if again is None:
                drop_op_call(error.__traceback__)
                raise
            result = again[0]
        if record is not None:
            self._closed(op, record, result)
        return result

    def _opened(self, op: Op, args: Any, kwargs: Any, frame: Any) -> Record | None:
        try:
            return self._before(op, args, kwargs, frame)
        except Exception as error:
            self.sink.tool_error("recording an op", error)
            return None

    def _closed(self, op: Op, record: Record, result: Any) -> None:
        try:
            self._after(op, record, result)
        except BdbQuit:
            raise
        except Exception as error:
            self.sink.tool_error("recording an op", error)

    def _full(self) -> None:
        try:
            self.flush()
        except Exception as error:
            self.sink.tool_error("recording an op", error)

    def _refused(self, func: Any, args: Any, kwargs: Any, record: Record | None, error: Exception) -> Any:
        """Do what `_again` does, for the compiled recorder; raising from here, the traceback keeps the operands
        alive until the failure is explained.
        """
        again = self._again(func, args, kwargs, record, error)
        if again is None:
            raise error
        return again[0]

    def _again(
        self, func: Any, args: Any, kwargs: Any, record: Record | None, error: Exception
    ) -> tuple[Any] | None:
        """Record that an op raised; or call it as it likes it, and return its result in a tuple."""
        again = numbers_as_tensors(func, args, error)
        if again is not None:
            return (func(*again, **kwargs),)
        if record is not None:
            self._raise(record, error)
        return None

    def _before(  # noqa: C901  # runs once an op: calls cost more than branches
        self, op: Op, args: Any, kwargs: Any, frame: Any
    ) -> Record | None:
        """Take what is known before the op runs: a raising op has no after. Returns the record's first part."""
        thread = self._threads.get(_thread_ident()) or self.thread()
        sink = self.sink
        if thread.muted:
            return None
        if op.ends_step:
            self.step_ended = True
        elif self.step_ended and not thread.optimizing:
            self.open_step()
        if not sink.recording:
            self._arguments.blind = True
            return None
        node = _autograd_node()
        module = parameter = forward = None
        name = ""
        if node is not None:
            phase = "backward"
            number = node._sequence_nr()
            if number == thread.node:
                name, forward = thread.node_name, thread.node_forward
            elif number < _ACCUMULATE:
                thread.node = number
                thread.node_name = name = node.name()
                thread.node_forward = forward = thread.owners.get(number) or self._owner_elsewhere(number, name)
            else:
                name, parameter = "AccumulateGrad", self._accumulated(node)
            if frame is None or frame.f_code is ENGINE_CALL:
                place = self._place_of_backward(thread, frame)
            else:
                place, module, checkpointed = self.stack.read(frame)
                phase = "recompute" if checkpointed else "backward called"
        elif thread.optimizing or sink.phase == "optimizer":
            phase = "optimizer"
            place = thread.place or self.stack.read(frame)[0]
        else:
            place, module, checkpointed = self.stack.read(frame)
            phase = "forward checkpointed" if checkpointed else "forward"
        path = sink.module or ("" if module is None else self.modules.path(module, frame))
        if self._filtered and not self.filters.wants(op, phase, path):
            self._arguments.blind = True
            return None
        seq = sink.next_seq()
        number = _sequence_number() - 1  # also in a backward that makes a graph of its own
        if number != thread.last_number:
            thread.last_number = number
            thread.owners.setdefault(number, seq)
        traces: list[Trace] = []
        take = self._arguments.take
        statics = [take(one, op, phase, traces) for one in args]
        if kwargs:
            statics.append({key: take(one, op, phase, traces) for key, one in kwargs.items()})
            if op.casts:
                self._arguments.measure_cast(args, kwargs, traces)
        if op.writes:
            self._note_writes(op, seq, args, kwargs)
            if number - 1 not in thread.owners:
                self._claim_from_copy(thread, number, seq, traces)
        return (
            seq, sink.step, op, phase, place, path, traces, statics, forward, name, parameter, thread.ident,
            _now(),
        )  # fmt: skip

    def _claim_from_copy(self, thread: Thread, number: int, seq: int, traces: list[Trace]) -> None:
        """Autograd may first copy what an op in place overwrites: its number is the one before the copy's."""
        last = self._raws[-1] if self._raws else self._written_last
        if last is not None and last[2].name == "aten::clone" and traces and last[6][0] is traces[0]:
            thread.owners[number - 1] = thread.owners[number] = seq

    def _place_of_backward(self, thread: Thread, frame: Any) -> Place:
        task = _graph_task()
        if thread.engine_task != task:
            thread.engine_task, thread.engine_place = task, self.stack.read(frame)[0]
            self.backwards.append(thread.engine_place)
        place: Place = thread.engine_place
        return place

    def _after(self, op: Op, record: Record, result: Any) -> None:
        record = self._results.finish(op, record, result, _now())
        raws = self._raws
        raws.append(record)
        if self.watchers:
            for watch in self.watchers:
                watch(Raw._make(record), result)
        if len(raws) >= _BATCH:
            self.flush()

    def _raise(self, record: Record, error: Exception) -> None:
        record += (_now(), (), None, "raised", "eager")
        self._raws.append(record)
        self._raised = f"{type(error).__name__}: {error}", Raw._make(record)
