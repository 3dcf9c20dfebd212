"""Who made a tensor: its producer, or its name as a parameter, buffer or variable; without keeping it alive."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch

from graphdebug.backends.torch.facts import Key
from graphdebug.model.event import Origin

__all__ = ["Origins", "Trace"]


class Trace(NamedTuple):
    """What is known of a tensor that an op was given or made."""

    key: Key
    seq: int | None
    """Node that last wrote it."""
    output: int = 0
    origin: Origin = "node"
    name: str = ""
    look: Any = None
    """What looking at its elements gave, when it was made."""
    ref: weakref.ref[Any] | None = None
    version: int = 0
    """Its version counter when it was made or last written; a view shares its base's counter."""
    pointer: int = 0


class Origins:
    """A table of tensors by identity. Entries hold weak references: a reused identity is never mistaken."""

    def __init__(self) -> None:
        self._made: dict[int, Trace] = {}
        self._written: dict[int, tuple[int, int]] = {}
        """Last writer of a storage: its address -> (version after the write, seq)."""

    def get(self, tensor: torch.Tensor) -> Trace | None:
        """Return the trace of `tensor`, or None if nothing is known of it."""
        trace = self._made.get(id(tensor))
        if trace is None or trace.ref is None or trace.ref() is not tensor:
            return None
        return trace

    def put(self, tensor: torch.Tensor, trace: Trace) -> None:
        """Remember the trace of `tensor`, replacing an older one."""
        self._made[id(tensor)] = trace

    def wrote(self, tensor: torch.Tensor, seq: int, version: int) -> None:
        """Remember that node `seq` wrote `tensor`'s memory in place, leaving `version`."""
        address = _storage(tensor)
        if address:
            self._written[address] = version, seq

    def writer(self, tensor: torch.Tensor, version: int) -> int | None:
        """Return the node that left `tensor`'s memory at `version`, if it was seen."""
        found = self._written.get(_storage(tensor))
        return found[1] if found is not None and found[0] == version else None

    def prune(self) -> None:
        """Forget tensors that are gone."""
        self._made = {
            key: trace for key, trace in self._made.items() if trace.ref is not None and trace.ref() is not None
        }
        if len(self._written) > 10_000:
            self._written.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._made.clear()
        self._written.clear()


def version_of(tensor: torch.Tensor) -> int:
    """Return the version counter, 0 for inference tensors, which have none."""
    return 0 if tensor.is_inference() else tensor._version


def _storage(tensor: torch.Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse, mkldnn, functorch wrappers: no storage of their own
        return 0
