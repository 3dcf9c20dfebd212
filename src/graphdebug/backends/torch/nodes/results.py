"""Results: what an op gave, as traces that keep no tensor alive."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor

from graphdebug.backends.torch.nodes.facts import kind_of
from graphdebug.backends.torch.nodes.looking import Looker
from graphdebug.backends.torch.nodes.ops import Op
from graphdebug.backends.torch.nodes.origins import Origins, Trace, version_of
from graphdebug.backends.torch.nodes.records import Record

__all__ = ["Results"]


class Results:
    """Reads the results of ops, and remembers who made them.

    Args:
        origins: where that is remembered.
        look: looks at fresh outputs; None where the level does not.
        measure: looks at whole numbers that were calculated; None where the level does not.

    """

    def __init__(self, origins: Origins, look: Looker | None, measure: Looker | None) -> None:
        self._origins = origins
        self._look = look
        self._measure = measure

    def finish(self, op: Op, record: Record, result: Any, ended: float) -> Record:
        """Return the whole record: what is known after the op, added to what was known before."""
        alias_of = record[6][0][2] if op.views else None
        take = self._take_view if op.views else self._take_output
        outputs: Any = ()
        if isinstance(result, Tensor):
            outputs = (take(record, 0, result),)
        elif isinstance(result, list | tuple):
            outputs = [take(record, index, one) for index, one in enumerate(result) if isinstance(one, Tensor)]
        return (*record, ended, outputs, alias_of, "executed", "eager")

    def _take_output(self, record: Record, index: int, value: Tensor) -> Trace:
        seq, op = record[0], record[2]
        kind = kind_of(value)
        looks = self._measure if op.counts and kind.whole else self._look
        look = None if looks is None or op.unborn else looks(value, kind)
        version = version_of(value)
        made = self._origins.made
        reference: Any = None
        named = None
        if op.writes:
            version += 1  # the counter rises after the node
            old = made.get(id(value))
            if old is not None and old[0]() is value:
                reference, named = old[0], old[6]
        trace: Trace = (reference or weakref.ref(value), version, seq, index, kind, look, named)
        made[id(value)] = trace
        if op.adopts:
            del made[id(value)]  # who is given it next meets it as something from outside
        return trace

    def _take_view(self, record: Record, index: int, value: Tensor) -> Trace:
        """A view's memory was looked at when its base was made; what holds for all of that holds for it."""
        kind = kind_of(value)
        source = record[6][0]
        same = not record[2].reinterprets and (source[5] is True or source[4].numel == kind.numel)
        look = source[5] if same else None
        named = source[6] if source[6] is not None and source[6][0] in ("parameter", "buffer") else None
        # below autograd a view does not share its base's version counter yet: take it from the base
        trace: Trace = (weakref.ref(value), source[1], record[0], index, kind, look, named)
        self._origins.made[id(value)] = trace
        return trace
