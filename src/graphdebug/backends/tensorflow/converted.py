"""Converted code: the user's line for a line of the code that AutoGraph has made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphdebug.model.site import Place

__all__ = ["Converted"]


class Converted:
    """What AutoGraph knows of the code that it has converted.

    TensorFlow maps the stacks of ops itself, except in the threads of a distribution strategy. It takes
    converted frames out of its tracebacks, unless it is told not to, and keeps their lines on the exception.
    """

    marker = "__autograph_generated_file"

    def original(self, file: str, line: int) -> Place | None:
        """Return file, line and function of the user's that a line of converted code stands for, or None."""
        for source_map in _source_maps():
            origin = source_map.get((file, line))
            if origin is not None:
                return str(origin.loc.filename), int(origin.loc.lineno), origin.function_name
        return None

    def kept(self, error: BaseException) -> Iterator[Place]:
        """Yield the lines that AutoGraph has kept of its frames, outermost first."""
        metadata = getattr(error, "ag_error_metadata", None)
        for frame in reversed(getattr(metadata, "translated_stack", ())):
            yield frame.filename, frame.lineno, frame.function_name


def _source_maps() -> Iterator[Any]:
    """Yield the maps of all functions that AutoGraph has converted and still holds."""
    from tensorflow.python.autograph.impl import api

    caches = getattr(getattr(api._TRANSPILER, "_cache", None), "_cache", {})
    for factories in list(caches.values()):
        for factory in list(factories.values()):
            if getattr(factory, "source_map", None):
                yield factory.source_map
