"""The errors a user of graphdebug can meet: each is one sentence with what is wrong and the way out."""

from __future__ import annotations

__all__ = ["GraphDebugError", "GraphDebugWarning", "LogError", "OptionError", "RecordingError"]


class GraphDebugError(Exception):
    """Base of all errors that graphdebug raises for a mistake in its use."""


class OptionError(GraphDebugError, ValueError):
    """An option has a value that graphdebug does not know."""


class LogError(GraphDebugError, OSError):
    """A log can't be written or read: unwritable, foreign, empty or from a newer version."""


class RecordingError(GraphDebugError, RuntimeError):
    """A recording was started or used where that has no meaning."""


class GraphDebugWarning(UserWarning):
    """graphdebug itself failed, or can't see something; the program it watches goes on."""
