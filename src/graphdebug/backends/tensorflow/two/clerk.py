"""Clerk: what compiled code needs of Python to record eager ops, and what it leaves to Python."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from tensorflow.python.eager import backprop, context, execute

from graphdebug.backends.stencil import cut
from graphdebug.backends.tensorflow.attributes import attributes_of
from graphdebug.backends.tensorflow.native import RECORD
from graphdebug.backends.tensorflow.packs import kernel
from graphdebug.backends.tensorflow.two.eager import EagerOps, asked_of, operands_of
from graphdebug.backends.tensorflow.two.ledger import GENERATION, Made, Ran
from graphdebug.backends.tensorflow.two.observer import TYPE_CODES, Observer
from graphdebug.backends.tensorflow.two.ops import ASKS, Op
from graphdebug.model.batch import Batch
from graphdebug.model.event import Event, Family, Gradient, Node, Phase, Site, Stats, TensorFact

__all__ = ["Clerk"]

_LEVELS = {"shapes": 0, "health": 1, "stats": 2}
_LINES = 256
"""Lines that wait to be written: few enough that they are still in the cache."""
_TYPES = 64
_LARGEST_ASKED = 64
"""Bytes of an input whose elements an attribute is made of, up to which a stencil is told by them."""
_MOST_KINDS = 10_000
_USER, _LIBRARY, _OTHER = 1, 2, 0

_encoder = msgspec.json.Encoder()
_events = msgspec.json.Decoder(Node | Gradient)
_stats = msgspec.json.Decoder(Stats)


class Clerk:
    """The compiled recorder of one recording, and the Python that it calls.

    Args:
        observer: the state of the recording.
        ops: records in Python what is unusual.
        tape: follows gradients in Python where something is unusual.

    """

    def __init__(self, observer: Observer, ops: EagerOps, tape: Any) -> None:
        self._observer = observer
        self._ops = ops
        self.seen = ops.seen
        self.forward_of = observer.ledger.forward_of
        self._kinds: dict[TensorFact, TensorFact] = {}
        sink, ledger = observer.sink, observer.ledger
        now = time.perf_counter
        held = (
            self, sink, observer, context.context()._thread_local_data, ledger.state.__dict__,
            RECORD.Walker(), self, ledger.made, ledger.ran, ledger.variables, ledger.gradient_of, Made, Ran,
            TensorFact, ops.known, ops.backwards, _Modules(), sink.next_seq, now, _encoder.encode,
            _stats.decode, tape, backprop, execute.execute_with_callbacks.__code__,
            backprop._gradient_function.__code__,
        )  # fmt: skip
        codes = bytes(TYPE_CODES.get(number, -1) & 0xFF for number in range(_TYPES))
        looks = None if kernel is None else kernel.looks
        level = _LEVELS[observer.level]
        zero = now() - sink.now()
        self.native: Any = RECORD.Clerk(held, zero, _LINES, GENERATION, looks, level, codes)

    @staticmethod
    def serves(observer: Observer) -> bool:
        """Whether a recording can be left to compiled code: it was built, and nobody watches or filters."""
        plain = observer.ended is None and not observer.filtered
        return RECORD is not None and plain and observer.level in _LEVELS

    def full(self) -> None:
        """Write what waits."""
        self._observer.drain()

    def batch(self) -> Batch | None:
        """Return the events that wait, None where there are none."""
        count, lines = self.native.take()
        return Batch(count, lambda: _built(lines), lambda: lines) if count else None

    def add(self, events: Sequence[Event]) -> bool:
        """Put nodes and gradients behind those that wait; return whether enough wait to be written."""
        return bool(self.native.add(_encoder.encode_lines(events)[:-1], len(events)) >= _LINES)

    def failed(self, name: str, error: BaseException) -> None:
        """Something of ours went wrong."""
        self._observer.sink.tool_error(f"recording {name or 'gradients'}", error)

    def classify(self, code: Any) -> int:
        """Return whether a frame of `code` is the user's, a library's, or none of both."""
        sites = self._observer.sink.sites
        if sites.is_user(code.co_filename):
            return _USER
        return _LIBRARY if sites.is_library(code.co_filename) else _OTHER

    def place_at(self, flat: Sequence[Any]) -> Site | None:
        """Return the site of a code object and an offset in it."""
        return self._observer.sink.sites.resolve((flat[0], flat[1])) if flat else None

    def plain(self, shape: tuple[int, ...], enum: int, finite: bool | None) -> TensorFact:
        """Return what is known of a tensor whose numbers were not asked for."""
        return self._observer.plain((shape, enum, ""), finite)

    def fact(self, tensor: Any, look: bool, measured: bool) -> TensorFact:
        """Return what is known of a tensor that compiled code can't look at, or not at all of."""
        return self._observer.fact(tensor, look=look, measured=measured)

    def kind(self, fact: TensorFact) -> TensorFact:
        """Return a fact without what differs from step to step, the same object for all that are alike."""
        if len(self._kinds) > _MOST_KINDS:
            self._kinds.clear()
        bare = (
            fact if fact.alias_of is None and fact.stats is None else replace(fact, alias_of=None, stats=None)
        )
        return self._kinds.setdefault(bare, bare)

    def viewed(self, tensor: Any, source: TensorFact) -> TensorFact:
        """Return the kind of a view of a tensor of which more is known than that it is finite."""
        fact = self._observer.fact(tensor, look=False)
        return self.kind(replace(fact, finite=source.finite, unchecked=source.unchecked))

    def made_of(self, op: Op, index: int, tensor: Any, frame: Any) -> Made:
        """Return where an input came from."""
        return self._ops.made_of(op, index, tensor, frame)

    def learn(
        self, op: Op, seq: int, phase: Phase, site: Site | None, function: str, family: Family, module: str,
        forward: int | None, made: tuple[Made, ...], facts: tuple[TensorFact, ...], inputs: Sequence[Any],
        attrs: Sequence[Any], began: float,
    ) -> tuple[bytes, Any]:  # fmt: skip
        """Return the line of an execution, and what the next ones like it are written by: a stencil, the
        attributes, and the elements of the inputs that those come from. None where that can't be told.
        """
        operands = operands_of(op, made)
        asks = _Asks(self._observer, inputs)
        attributes = {}
        if op.traits & ASKS:
            asked = asked_of(self._observer, inputs, attrs, operands)._replace(constant=asks.constant)
            attributes = attributes_of(op.name, asked)
        node = self._ops.node(
            op, seq, phase, site, function, family, module, forward, operands, facts, attributes, began
        )
        given = tuple([one[:] if type(one) is list else one for one in attrs]) if op.traits & ASKS else None
        way = None if asks.elements is None else (cut(node), given, tuple(asks.elements.items()))
        return _encoder.encode(node), way


class _Asks:
    """The inputs of one op, and which of them its attributes were made of."""

    def __init__(self, observer: Observer, inputs: Sequence[Any]) -> None:
        self._observer = observer
        self._inputs = inputs
        self.elements: dict[int, bytes] | None = {}
        """Bytes by number of the input; None where one was asked for that is large, or can't be read."""

    def constant(self, index: int) -> Any:
        """Return the elements of an input, None where there are none."""
        if index >= len(self._inputs):
            return None
        found = self._observer.elements(self._inputs[index])
        if found is None or found.nbytes > _LARGEST_ASKED or found.dtype.kind not in "iufb":
            self.elements = None
        elif self.elements is not None:
            self.elements[index] = found.tobytes()
        return found


class _Modules(dict[str, str]):
    """Name scopes as paths."""

    def __missing__(self, scope: str) -> str:
        if len(self) > _MOST_KINDS:
            self.clear()
        path = self[scope] = scope.rstrip("/")
        return path


def _built(lines: bytes) -> list[Event]:
    return [_events.decode(line) for line in lines.split(b"\n")]
