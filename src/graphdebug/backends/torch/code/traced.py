"""User lines out of the stack traces that the compiler keeps as text with the nodes of its graphs."""

from __future__ import annotations

import linecache
import re
from functools import lru_cache
from typing import Any

from graphdebug.model.event import Site
from graphdebug.model.site import SiteFinder

__all__ = ["sites_of_stack", "sites_of_trace"]

_FRAME = re.compile(
    r'^ *File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>.+)(?:\n|\Z)'
    r"(?:    (?P<text>[^\n]*)\n)?(?:    (?P<marks>[ ~^]+)(?:\n|$))?",
    re.MULTILINE,
)


def sites_of_trace(trace: str | None, sites: SiteFinder) -> tuple[Site, ...]:
    """Return the user's frames in a stack trace in Python's format, innermost first."""
    if not trace:
        return ()
    found = [
        _site(match["file"], int(match["line"]), match["function"], match["marks"] or "", sites)
        for match in _FRAME.finditer(trace)
        if sites.is_user(match["file"])
    ]
    return tuple(reversed(found))


def sites_of_stack(stack: Any, sites: SiteFinder) -> tuple[Site, ...]:
    """Return the user's frames of a `traceback.StackSummary`, innermost first."""
    return tuple(
        Site(
            frame.filename, frame.lineno or 0, -1 if frame.colno is None else frame.colno,
            frame.end_lineno or 0, -1 if frame.end_colno is None else frame.end_colno,
            sites.at(frame.filename, frame.lineno or 0, frame.name).function,
        )
        for frame in reversed(stack)
        if sites.is_user(frame.filename)
    )  # fmt: skip


def _site(file: str, line: int, function: str, marks: str, sites: SiteFinder) -> Site:
    known = sites.at(file, line, function)
    if not marks.strip():
        return known
    column = _indent(file, line) + len(marks) - len(marks.lstrip())
    return Site(file, line, column, line, column + len(marks.strip()), function)


@lru_cache(maxsize=4096)
def _indent(file: str, line: int) -> int:
    text = linecache.getline(file, line)
    return len(text) - len(text.lstrip())
