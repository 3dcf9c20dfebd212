"""Ledger: which node made which eager tensor, kept by the tensors' ids, which TensorFlow never gives twice."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from graphdebug.backends.tensorflow.two.handles import variable_name
from graphdebug.model.event import Family, Operand, Origin, TensorFact

__all__ = ["GENERATION", "Ledger", "Made", "Ran", "Recent"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

GENERATION = 32_768
"""Entries after which the older generation is dropped: what was not asked for since is forgotten."""


class Made(NamedTuple):
    """Where a tensor came from, and what it is."""

    fact: TensorFact
    origin: Origin = "argument"
    seq: int | None = None
    output: int = 0
    name: str = ""
    kind: TensorFact | None = None
    """The fact without what differs from step to step, where compiled code recorded it."""

    def operand(self, role: str = "") -> Operand:
        """Return it as one input of a node."""
        return Operand(self.fact, self.origin, self.seq, self.output, self.name, role)


class Ran(NamedTuple):
    """A node, as its gradient function needs it."""

    op: str
    inputs: tuple[Made, ...]
    function: str
    family: Family


class Recent(Generic[K, V]):
    """A dictionary of bounded size that forgets what has not been used for long, two generations at a time."""

    def __init__(self, generation: int = GENERATION) -> None:
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._generation = generation

    def __setitem__(self, key: K, value: V) -> None:
        if len(self._young) >= self._generation:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def get(self, key: K) -> V | None:
        """Return the value of `key`, or None if it was never there or has been forgotten."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self[key] = value
        return value


class Ledger:
    """What a recording knows of eager tensors, variables, and gradients of forward tensors."""

    def __init__(self) -> None:
        self.made: Recent[int, Made] = Recent()
        """By tensor id."""
        self.ran: Recent[int, Ran] = Recent()
        """By sequence number of a node."""
        self.gradient_of: Recent[int, tuple[Made, ...]] = Recent()
        """By id of a gradient tensor: the forward tensors it is the gradient of (an addition hands the same
        one to both sides)."""
        self.variables: dict[int, str] = {}
        """Names of variables by the id of their handle."""
        self.told: dict[int, str] = {}
        """Of those among them that the user's own line made: names that no other one has."""
        self.state = _State()

    def name_of(self, variable: Any) -> str:
        """Return what a variable is called in this recording; nothing if it is none."""
        path = getattr(variable, "path", None)  # Keras's own, which is unique
        handle: Any = None if path or not hasattr(variable, "handle") else variable.handle
        return self.told.get(getattr(handle, "_id", -1)) or variable_name(variable)

    def forward_of(self, op_type: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> int | None:
        """Return the forward node that a backward op belongs to.

        The running gradient function tells it; outside of one (gradients being added up, custom gradients)
        the gradients that the op reads do.
        """
        if self.state.forward is not None:
            return self.state.forward
        known = [found for one in inputs if (found := self.gradient_of.get(getattr(one, "_id", -1)))]
        if not known:
            return None
        if op_type == "AddN":
            common = tuple(one for one in known[0] if all(one in other for other in known[1:]))
            for tensor in outputs:
                self.gradient_of[tensor._id] = common or known[0]
            return (common or known[0])[-1].seq
        return known[0][-1].seq


class _State(threading.local):
    """What one thread is doing."""

    def __init__(self) -> None:
        self.visited: set[int] = set()
        """Forward nodes whose gradient functions have run for the running tape."""

    backward: int = 0
    """How many tapes are computing gradients on this thread."""
    forward: int | None = None
    """The forward node whose gradient function is running."""
    targets: tuple[Made, ...] = ()
    """What the running tape differentiates."""
    busy: bool = False
    """graphdebug itself is running ops: they are not the user's."""
