"""Observer: turns what TensorFlow 2 executes into nodes; eager ops and functions share it."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from math import prod
from types import FrameType
from typing import Any, Protocol

import msgspec
import numpy as np
import tensorflow as tf
from msgspec.structs import replace

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.facts import array_fact, device_word, dtype_word
from graphdebug.backends.tensorflow.packs import CODES, kernel
from graphdebug.backends.tensorflow.two.handles import handle_fact
from graphdebug.backends.tensorflow.two.ledger import Ledger, Made
from graphdebug.backends.tensorflow.two.links import Links
from graphdebug.model.batch import Batch
from graphdebug.model.event import (
    Event,
    Family,
    Gradient,
    Level,
    Node,
    Phase,
    Site,
    Stats,
    TensorFact,
    number,
)
from graphdebug.options import Options

__all__ = ["TYPE_CODES", "Observer"]

_UNSEEN = frozenset((tf.resource.as_datatype_enum, tf.variant.as_datatype_enum))
"""Handles, not numbers."""

_BATCH = 512
"""Events that are held back before they are written."""

_LAST_FLOAT = 3
"""The kernel's numbers up to this one are of floating point types."""

TYPE_CODES = {
    getattr(tf, word).as_datatype_enum: code for word, code in CODES.items() if word != "bfloat16"
} if kernel is not None else {}  # fmt: skip
"""The kernel's numbers for the dtypes that Python's buffers know, by TensorFlow's number for them."""

_stats = msgspec.json.Decoder(Stats)

_DOT = frozenset({"float32", "float64"})
_SIZED = 8
"""Steps from the first whose gradients are measured at level health; later ones at powers of two."""


class Lines(Protocol):
    """Lines of nodes that compiled code has written and that wait to go into the log."""

    def batch(self) -> Batch | None:
        """Return the events that wait, None where there are none."""
        ...

    def add(self, events: Sequence[Event]) -> bool:
        """Put nodes and gradients behind those that wait; return whether enough wait to be written."""
        ...


class Observer:
    """The state that all TensorFlow 2 parts of one recording share.

    Args:
        sink: where events go.
        options: what to record.

    """

    def __init__(self, sink: Sink, options: Options) -> None:
        self.sink = sink
        self.options = options
        self.ledger = Ledger()
        self.links = Links(self.ledger, sink)
        self.unreached: weakref.ref[Any] | None = None
        """The target of the last gradients, if none of what they were asked for was reached."""
        self.before_tape: Site | None = None
        """The line that computed that target before the tape was opened, in a function being traced."""
        self.tape_began = 0
        """The number that was due when the last tape was opened: nodes before it are not on the tape."""
        self.tape_ended = 0
        """The number that was due when the last tape was closed."""
        self._differentiated = self._updated = False
        self.filtered = bool(options.phases or options.ops or options.modules)
        looks = options.tf_debugging or options.break_on is not None
        self.level: Level = "health" if looks and options.level == "shapes" else options.level
        self.fresh: list[Event] | None = None
        """What was emitted since `ended` was last called, where somebody watches."""
        self.ended: Callable[[FrameType | None, Sequence[Any]], None] | None = None
        """Called after each eager op and each run of a function, with the caller's frame and the outputs;
        what it raises is the user's."""
        self.lines: Lines | None = None
        """Where compiled code records eager ops; nothing is then held back elsewhere."""
        self._held: list[Event] = []
        self._facts: dict[Any, TensorFact] = {}
        self._count = 0

    def emit(self, event: Event) -> None:
        """Write an event, now or with the next ones."""
        if self.lines is not None:
            self._emit_behind(self.lines, [event])
            return
        self._held.append(event)
        if self.fresh is not None:
            self.fresh.append(event)
        if len(self._held) >= _BATCH:
            self.drain()

    def emit_all(self, events: Sequence[Event]) -> None:
        """Write events behind those held back, now or with the next ones; a batch is written as it is."""
        if self.fresh is not None:
            self.fresh.extend(events)
        if self.lines is not None and not isinstance(events, Batch):
            self._emit_behind(self.lines, events)
            return
        if not isinstance(events, Batch):
            self._held.extend(events)
            if len(self._held) >= _BATCH:
                self.drain()
            return
        self.drain()
        self.sink.emit(events)

    def _emit_behind(self, lines: Lines, events: Sequence[Event]) -> None:
        """Write events behind the lines that wait."""
        if any(type(one) is not Node and type(one) is not Gradient for one in events):
            self.drain()
            self.sink.emit(events)
        elif events and lines.add(events):
            self.drain()

    def drain(self) -> None:
        """Write all that is held back."""
        waiting = None if self.lines is None else self.lines.batch()
        if waiting is not None:
            self.sink.emit(waiting)
        if self._held:
            held, self._held = self._held, []
            self.sink.emit(held)

    def wants(self, op: str, function: str, module: str, phase: Phase) -> bool:
        """Whether the user's filters let this node through."""
        options = self.options
        if not self.filtered:
            return True
        if options.phases and phase not in options.phases:
            return False
        if options.ops and not _matches(op, tuple(options.ops)) and not _matches(function, tuple(options.ops)):
            return False
        return not options.modules or _matches(module, tuple(options.modules))

    def phase(self, family: Family) -> Phase:
        """What this thread is doing now; a variable written after a backward pass is an update."""
        state = self.ledger.state
        if state.backward:
            return "backward"
        if family == "assign" and self._differentiated:
            self._updated = True
            return "optimizer"
        return self.sink.phase or "forward"

    def backward_ended(self) -> None:
        """Gradients have been computed: a step ends when they have been applied."""
        self._differentiated = True

    def function_ended(self) -> None:
        """A function that is a whole training step has returned."""
        self._end_step()

    def tape_opened(self) -> None:
        """The user began a forward pass: variables that were written by hand before end the step before."""
        if not self.ledger.state.backward:
            self.tape_began = self.sink.next_seq()
        if self._updated and not self.ledger.state.backward:
            self._end_step()

    def tape_closed(self) -> None:
        """The user's forward pass is over: nodes from here on are not on the tape."""
        if not self.ledger.state.backward:
            self.tape_ended = self.sink.next_seq()

    def _end_step(self) -> None:
        self._differentiated = self._updated = False
        self.sink.advance_step()

    def fact(self, tensor: Any, *, look: bool = True, measured: bool = False) -> TensorFact:
        """Return what is known of an eager tensor at the recording's level.

        Args:
            tensor: an EagerTensor.
            look: whether its elements matter; False for a view of a tensor that was looked at.
            measured: whether statistics are taken at level health, too.

        """
        enum = tensor._datatype_enum()
        shape = tensor._shape_tuple()
        key = (shape, enum, tensor.device if self._devices() > 1 else "")
        measured = measured and 0 not in shape
        level = self.level
        if level == "shapes" or not look or enum in _UNSEEN:
            return self.plain(key, None)
        code = TYPE_CODES.get(enum)
        if code is not None and level != "values":
            found = self._seen_by_kernel(tensor, key, code, measured=measured)
            if found is not None:
                return found
        array = self.elements(tensor)
        if array is None:
            return self.plain(key, None)
        level = "stats" if level == "health" and measured else level
        if level == "health" and (finite := _is_finite(array)) is not False:
            return self.plain(key, finite)
        if level == "stats" and array.dtype.name in _DOT and array.size and array.flags.c_contiguous:
            stats = _fast_stats(array.reshape(-1))
            if stats is not None:
                return replace(self.plain(key, True), stats=stats)
        return array_fact(array, level, dtype=_dtype(enum), device=device_word(tensor.device))

    def _seen_by_kernel(self, tensor: Any, key: Any, code: int, *, measured: bool) -> TensorFact | None:
        """Return the fact of a finite tensor in main memory, looked at where it lies; None of any other."""
        try:
            # a scalar's value costs no more, and shows how a loss goes
            if self.level == "health" and key[0] and not measured:
                finite = None if code > _LAST_FLOAT else True
                return self.plain(key, finite) if kernel.all_finite(tensor, code) else None
            size = prod(key[0])
            texts = kernel.stats_texts(tensor, _counts(size), code) if size else None
        except (BufferError, ValueError, TypeError, RuntimeError):
            return None  # it lies elsewhere, or is not of a type that has a buffer
        if texts is None:
            return None
        known = self.plain(key, None if code > _LAST_FLOAT else True)
        return TensorFact(
            known.shape, known.dtype, known.device, finite=known.finite, stats=_stats.decode(texts[0])
        )

    def measured(self, made: Made, tensor: Any) -> Made:
        """Return where a tensor came from, with its statistics: it is calculated with."""
        if made.fact.stats is not None or self.level == "shapes" or tensor._datatype_enum() in _UNSEEN:
            return made
        made = made._replace(fact=replace(made.fact, stats=self.fact(tensor, measured=True).stats), kind=None)
        self.ledger.made[tensor._id] = made
        return made

    def sized(self, tensor: Any, fact: TensorFact) -> TensorFact:
        """Return the fact of an eager gradient, at level health in some of the steps with its statistics."""
        step = self.sink.step
        if self.level != "health" or fact.finite is not True or (step >= _SIZED and step & (step - 1)):
            return fact
        array = self.elements(tensor)
        stats = None if array is None or array.dtype.name not in _DOT else _fast_stats(np.ravel(array))
        return fact if stats is None else replace(fact, stats=stats)

    def _devices(self) -> int:
        """Return how many devices eager ops run on; an op has run, so asking starts nothing."""
        if not self._count:
            self._count = len(tf.config.list_logical_devices())
        return self._count

    def elements(self, tensor: Any) -> np.ndarray | None:
        """Return the elements of an eager tensor without a copy where it is in main memory, or None."""
        try:
            return np.asarray(tensor._numpy_internal())
        except Exception:  # a handle, a variant, a tensor on a lost device: nothing to look at
            return None

    def made(self, tensor: Any) -> Made:
        """Return where an eager tensor came from; one never seen before is the user's, or a constant."""
        known = self.ledger.made.get(tensor._id)
        if known is None or (known.origin == "unknown" and tensor._id in self.ledger.variables):
            known = self._first_seen(tensor)
            self.ledger.made[tensor._id] = known
        return known

    def _first_seen(self, tensor: Any) -> Made:
        if tensor._datatype_enum() in _UNSEEN:
            name = self.ledger.variables.get(tensor._id, "")
            return Made(handle_fact(tensor), "variable" if name else "unknown", name=name)
        return Made(self.fact(tensor), "constant" if tensor._rank() == 0 else "argument")

    def plain(self, key: Any, finite: bool | None) -> TensorFact:
        """Return what is known of a tensor of this shape, TensorFlow's number of its dtype, and device."""
        cached = self._facts.get((key, finite))
        if cached is None:
            shape, enum, device = key
            cached = TensorFact(shape, _dtype(enum), device_word(device), finite=finite)
            if len(self._facts) > 10_000:
                self._facts.clear()
            self._facts[key, finite] = cached
        return cached


@lru_cache(maxsize=4096)
def _counts(size: int) -> bytes:
    return size.to_bytes(8, sys.byteorder)


def _is_finite(array: np.ndarray) -> bool | None:
    """Return whether all elements are finite; None where they can't be otherwise (integers)."""
    if array.dtype.kind not in "fcV":
        return None
    if array.dtype.name in _DOT and array.flags.c_contiguous:
        flat = array.reshape(-1)
        with np.errstate(all="ignore"):
            if np.isfinite(np.dot(flat, flat)):
                return True
    return bool(np.isfinite(array).all())


def _fast_stats(flat: np.ndarray) -> Stats | None:
    """Return the statistics of a tensor in its own precision; None where it is not finite or that overflows."""
    with np.errstate(all="ignore"):
        squares = float(np.dot(flat, flat))
        if not np.isfinite(squares):
            return None
        mean = float(flat.mean(dtype=np.float64))
        centred = flat - flat.dtype.type(mean)
        spread = float(np.dot(centred, centred)) / flat.size
    return Stats(
        zero=int(flat.size - np.count_nonzero(flat)), min=number(float(flat.min())),
        max=number(float(flat.max())), mean=number(mean), std=number(spread**0.5), l2=number(squares**0.5),
    )  # fmt: skip


@lru_cache(maxsize=256)
def _dtype(enum: int) -> str:
    return dtype_word(enum)


@lru_cache(maxsize=4096)
def _matches(word: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(word, pattern) for pattern in patterns)
