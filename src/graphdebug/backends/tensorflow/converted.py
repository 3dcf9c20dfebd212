"""Converted code: the user's line for a line of the code that AutoGraph has made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphdebug.model.event import Site
from graphdebug.model.site import SiteFinder

__all__ = ["frames_of", "is_converted", "original_line"]


def is_converted(file: str) -> bool:
    """Whether `file` is one that AutoGraph has written."""
    return "__autograph_generated_file" in file


def original_line(file: str, line: int) -> tuple[str, int, str] | None:
    """Return file, line and function of the user's that a line of converted code stands for, or None.

    TensorFlow maps the stacks of ops itself, except in the threads of a distribution strategy.
    """
    for source_map in _source_maps():
        for location, origin in source_map.items():
            if location.lineno == line and location.filename == file:
                return str(origin.loc.filename), int(origin.loc.lineno), str(origin.function_name or "")
    return None


def frames_of(error: BaseException, finder: SiteFinder) -> tuple[Site, ...]:
    """Return the user's frames of an exception, outermost first, converted ones at the lines the user wrote.

    TensorFlow takes converted frames out of its tracebacks, unless it is told not to filter them.
    """
    found = []
    for site in finder.of_traceback(error.__traceback__):
        if not is_converted(site.file):
            found.append(site)
        elif (written := original_line(site.file, site.line)) is not None:
            found.append(finder.at(*written))
    return tuple(found)


def _source_maps() -> Iterator[Any]:
    """Yield the maps of all functions that AutoGraph has converted and still holds."""
    from tensorflow.python.autograph.impl import api

    caches = getattr(getattr(api._TRANSPILER, "_cache", None), "_cache", {})
    for factories in list(caches.values()):
        for factory in list(factories.values()):
            if getattr(factory, "source_map", None):
                yield factory.source_map
