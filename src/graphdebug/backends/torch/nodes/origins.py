"""Who made a tensor: its producer, or its name as a parameter, buffer or variable; without keeping it alive."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from graphdebug.backends.torch.native import RECORD
from graphdebug.backends.torch.nodes.facts import Kind, Look, kind_of
from graphdebug.model.event import Origin

__all__ = ["Named", "Origins", "Trace", "Write", "new_history", "trace_of", "version_of"]

Named = tuple[Origin, str]
"""Origin and name of a tensor that is more than some node's output."""

Trace = tuple[Callable[[], Any], int, int | None, int, Kind, Look, Named | None]
"""What is known of a tensor: a way back to it that does not keep it alive, its version counter when it was
made or last written, the node that did so, which output of it, its kind, what looking at it gave, its name.
A plain tuple: one is made for every output of every op."""


class Write(NamedTuple):
    """A write in place."""

    version: int
    """The version it left."""
    seq: int
    """The node that wrote."""
    before: int | None
    """The node that had made or written the tensor before."""
    kind: Kind


_WRITES_KEPT = 64
_STORAGES_KEPT = 4096


def _gone() -> None:
    """The way back to a tensor that there is none to."""


def trace_of(
    kind: Kind, seq: int | None, output: int = 0, look: Look = None, named: Named | None = None
) -> Trace:
    """Return a trace that is not tied to a tensor yet."""
    return _gone, 0, seq, output, kind, look, named


class Origins:
    """A table of tensors by identity. Entries are checked on use: a reused identity is never mistaken."""

    def __init__(self) -> None:
        self.made: dict[int, Trace] = {}
        self.written: dict[int, deque[Write]] = {}
        """Writes in place by the address of the storage, oldest first."""
        self._named: dict[Named, Named] = {}

    def get(self, tensor: torch.Tensor) -> Trace | None:
        """Return the trace of `tensor` as it now is, or None if nothing is known of it."""
        trace = self.made.get(id(tensor))
        if trace is None or trace[0]() is not tensor:
            return None
        version = version_of(tensor)
        if version != trace[1]:  # written since, by itself or through a view: all views share the counter
            trace = (trace[0], version, self.writer(tensor, version), 0, trace[4], None, trace[6])
            self.made[id(tensor)] = trace
        return trace

    def put(self, tensor: torch.Tensor, trace: Trace, lookup: Callable[[], Any] | None = None) -> Trace:
        """Remember what is known of `tensor` as it now is; `lookup` leads to it where a weak reference
        must not.
        """
        full: Trace = (lookup or weakref.ref(tensor), version_of(tensor), *trace[2:])
        self.made[id(tensor)] = full
        return full

    def named(self, origin: Origin, name: str) -> Named:
        """Return this origin and name as the same object each time: stencils know operands by identity."""
        named = origin, name
        return self._named.setdefault(named, named)

    def rename(self, tensor: torch.Tensor, named: Named, lookup: Callable[[], Any]) -> None:
        """A tensor seen before turned out to be a parameter or buffer: it keeps its producer."""
        trace = self.made.get(id(tensor))
        if trace is not None and trace[0]() is tensor:
            self.made[id(tensor)] = (lookup, *trace[1:6], named)

    def wrote(self, tensor: torch.Tensor, seq: int, version: int) -> None:
        """Remember that node `seq` writes `tensor`'s memory in place, leaving `version`."""
        address = _storage(tensor)
        if address:
            if len(self.written) > _STORAGES_KEPT:
                for old in list(self.written)[: _STORAGES_KEPT // 2]:
                    del self.written[old]
            # moved to the end, so that the storages written longest ago go first
            writes = self.written.pop(address, None) or new_history()
            before = self.made.get(id(tensor))
            writes.append(Write(version, seq, before[2] if before is not None else None, kind_of(tensor)))
            self.written[address] = writes

    def writer(self, tensor: torch.Tensor, version: int) -> int | None:
        """Return the node that left `tensor`'s memory at `version`, if it was seen."""
        writes = tuple(self.written.get(_storage(tensor), ()))  # another thread may write meanwhile
        return next((one.seq for one in reversed(writes) if one.version == version), None)

    def histories(self) -> list[list[Write]]:
        """Return the writes of each storage that was written in place, the last written first."""
        return [list(writes) for writes in reversed(self.written.values())]

    def prune(self) -> None:
        """Forget tensors that are gone."""
        for key in list(self.made) if RECORD is None else RECORD.prune(self.made):
            trace = self.made.get(key)
            if trace is not None and trace[0]() is None and self.made.get(key) is trace:
                del self.made[key]

    def clear(self) -> None:
        """Forget everything."""
        self.made.clear()
        self.written.clear()


def new_history() -> deque[Write]:
    """Return an empty history of the writes into one storage."""
    return deque(maxlen=_WRITES_KEPT)


def version_of(tensor: torch.Tensor) -> int:
    """Return the version counter; 0 for inference tensors, which have none."""
    try:
        return int(tensor._version)
    except RuntimeError:
        return 0


def _storage(tensor: torch.Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse, mkldnn, functorch wrappers: no storage of their own
        return 0
