"""Options: everything a user can choose about a recording, checked once, then frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from graphdebug.errors import OptionError
from graphdebug.model.event import Level

__all__ = ["LEVELS", "Options"]

LEVELS: tuple[str, ...] = get_args(Level)
_GRADIENTS = ("none", "parameters", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is recorded.

    Raises:
        OptionError: an option has a value that does not exist; the message lists the ones that do.

    """

    level: Level = "health"
    gradients: Literal["none", "parameters", "all"] = "parameters"
    modules: Sequence[str] = ()
    """Record only nodes whose module path matches one of these glob patterns; empty records all."""
    ops: Sequence[str] = ()
    """Record only nodes whose op or function matches one of these glob patterns."""
    phases: Sequence[str] = ()
    every: int = 1
    """Record every N-th step."""
    keep_last: int | None = None
    """Flight recorder: hold the last N steps in memory and write them only when something goes wrong."""
    anomaly: bool = False
    """torch: switch anomaly mode on and put its forward traceback into the event."""
    tf_debugging: bool = False
    """TensorFlow: raise at the first node with a non-finite output, as check_numerics would."""
    allow: Sequence[str] = ()
    """Glob patterns of functions, ops, modules, node names or ``file.py:line`` that may give NaN or Inf: no
    finding is made of it."""
    break_on: Literal["nonfinite"] | Callable[..., bool] | None = None
    """Drop into the debugger where a value that is not finite is born, or where a predicate says so."""

    def __post_init__(self) -> None:
        _check("level", self.level, LEVELS)
        _check("gradients", self.gradients, _GRADIENTS)
        for phase in self.phases:
            _check("phases", phase, ("forward", "backward", "optimizer", "recompute", "build"))
        for name in ("modules", "ops", "phases", "allow"):
            if isinstance(getattr(self, name), str):
                raise OptionError(f"{name}={getattr(self, name)!r} must be a list of patterns, not one string")
        if self.every < 1:
            raise OptionError(f"every={self.every} must be 1 or more: it records every N-th step")
        if self.keep_last is not None and self.keep_last < 1:
            raise OptionError(f"keep_last={self.keep_last} must be 1 or more steps")
        if isinstance(self.break_on, str):
            _check("break_on", self.break_on, ("nonfinite",))

    def to_json(self) -> dict[str, Any]:
        """Return the options as the `run` event holds them: JSON-native, callables by name."""
        shown = asdict(self)
        if callable(self.break_on):
            shown["break_on"] = getattr(self.break_on, "__qualname__", repr(self.break_on))
        return {key: list(value) if isinstance(value, tuple) else value for key, value in shown.items()}


def _check(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise OptionError(f"unknown {name} {value!r}: use one of {', '.join(allowed)}")
