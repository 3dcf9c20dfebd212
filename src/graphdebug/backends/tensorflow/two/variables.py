"""Variables: each variable that the user's own line made, under a name that no other one has."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from tensorflow.python.framework.ops import EagerTensor
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

from graphdebug.backends.tensorflow.facts import dtype_word, shape_of
from graphdebug.backends.tensorflow.two.handles import variable_name
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.model.event import Declaration, TensorFact

__all__ = ["Variables", "watch_variables"]

_MOST_TOLD = 5000
"""Variables that are told; a program that makes more makes them anew in each step."""


class Variables:
    """The variables that were made in this recording by lines of the user's: a library's are its own matter.

    Args:
        observer: the state of the recording.

    """

    def __init__(self, observer: Observer) -> None:
        self._sink = observer.sink
        self._ledger = observer.ledger
        self._taken: dict[str, int] = {}
        """How many variables were made of each name."""

    def made(self, variable: Any, frame: FrameType | None) -> None:
        """A variable was made: tell it, if the user's own line made it."""
        handle = variable._handle
        while frame is not None and "/tensorflow/python/" in frame.f_code.co_filename.replace("\\", "/"):
            frame = frame.f_back
        told = frame is not None and self._sink.sites.is_user(frame.f_code.co_filename)
        if not told or frame is None or not isinstance(handle, EagerTensor) or self._ledger.state.busy:
            return
        if type(variable).__name__.startswith("_Unread") or len(self._ledger.told) >= _MOST_TOLD:
            return
        name = self._ledger.told.get(handle._id) or self._own_name(variable_name(variable))
        self._ledger.told[handle._id] = self._ledger.variables[handle._id] = name
        known = self._ledger.made.get(handle._id)
        if known is not None:  # its first value was written while it was made
            self._ledger.made[handle._id] = known._replace(name=name)
        sites = [self._sink.sites.resolve(one) for one in self._sink.sites.positions(frame)]
        fact = TensorFact(shape_of(variable.shape), dtype_word(variable.dtype))
        words = {"shape": None if fact.shape is None else list(fact.shape), "dtype": fact.dtype,
                 "trainable": bool(variable.trainable)}  # fmt: skip
        self._sink.emit([Declaration(
            self._sink.next_seq(), name, "Variable", sites[0], "traceback", words, {"value": fact},
            tuple(sites[1:]),
        )])  # fmt: skip

    def _own_name(self, name: str) -> str:
        """Return a name as a graph would make it: with a number, where there is one already."""
        count = self._taken.get(name, 0)
        self._taken[name] = count + 1
        return f"{name}_{count}" if count else name


def watch_variables(variables: Variables) -> Callable[[], None]:
    """Keep the line of each variable as it is made."""
    make = BaseResourceVariable.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 -- it is TensorFlow's
        make(self, *args, **kwargs)
        try:
            variables.made(self, sys._getframe(1))
        except Exception as error:
            variables._sink.tool_error("keeping the line of a variable", error)

    __init__.__code__ = __init__.__code__.replace(co_filename=make.__code__.co_filename)
    BaseResourceVariable.__init__ = __init__

    def restore() -> None:
        BaseResourceVariable.__init__ = make

    return restore
