"""Finding the user's line: which frames are the user's own, and where exactly they stand."""

from __future__ import annotations

import linecache
import os
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Protocol

from graphdebug.model.event import Site

__all__ = ["Place", "Position", "Rewriting", "SiteFinder"]

Position = tuple[CodeType, int]
"""A code object and the offset of an instruction in it: a site not yet resolved, cheap to take."""

Place = tuple[str, int, str | None]
"""File, line and function, as a framework keeps them: TensorFlow no function of a lambda that it converted."""

_FRAMEWORK, _LIBRARY, _USER = 0, 1, 2


class Rewriting(Protocol):
    """What a framework knows of the code that it has made of the user's."""

    marker: str
    """What the names of the files that it writes have in them."""

    def original(self, file: str, line: int) -> Place | None:
        """Return what a line of such a file was made of, None for one that the framework has added."""
        ...

    def kept(self, error: BaseException) -> Iterable[Place]:
        """Return the lines, outermost first, of such frames that the framework took out of a traceback."""
        ...


class SiteFinder:
    """Tells the user's frames from framework frames and resolves them to sites.

    The user's code is all that is neither in the standard library, nor installed (site-packages), nor
    in a folder given to `ignore`. Where a stack has no such frame, the innermost installed library that
    is not ignored counts as the user's.

    Args:
        on_file: called once with each source file that a site is resolved in.

    """

    def __init__(self, on_file: Callable[[str], None] | None = None) -> None:
        self._on_file = on_file
        self._ignored = [_own_folder()]
        self._class_of_code: dict[CodeType, int] = {}
        self._class_of_file: dict[str, int] = {}
        self._sites: dict[tuple[CodeType, int], Site] = {}
        self._positions: dict[CodeType, list[tuple[int | None, ...]]] = {}
        self._seen_files: set[str] = set()
        self._adopted: dict[Site, Position] = {}
        self._rewriting: Rewriting | None = None

    def rewritten(self, rewriting: Rewriting) -> None:
        """Tell code that a framework has made of the user's by the lines that the user wrote, from now on."""
        self._rewriting = rewriting
        self._class_of_code.clear()

    def ignore(self, folder: str) -> None:
        """Count every file below `folder` as framework code from now on."""
        self._ignored.append(os.path.join(os.path.abspath(folder), ""))
        self._class_of_code.clear()
        self._class_of_file.clear()

    def position(self, frame: FrameType | None) -> Position | None:
        """Return the innermost user position at or above `frame`, or None. Costs about 0.3 us a stack."""
        classes = self._class_of_code
        fallback: Position | None = None
        while frame is not None:
            code = frame.f_code
            kind = classes.get(code)
            if kind is None:
                kind = self._code_class(code)
            if kind == _USER:
                return code, frame.f_lasti
            if kind == _LIBRARY and fallback is None:
                fallback = code, frame.f_lasti
            frame = frame.f_back
        return fallback

    def positions(self, frame: FrameType | None, limit: int = 8) -> list[Position]:
        """Return up to `limit` user positions at or above `frame`, innermost first."""
        found: list[Position] = []
        while frame is not None and len(found) < limit:
            if self._code_class(frame.f_code) == _USER:
                found.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        return found

    def is_user(self, filename: str) -> bool:
        """Whether `filename` is the user's own code."""
        return self._file_class(filename) == _USER

    def is_library(self, filename: str) -> bool:
        """Whether `filename` is installed code that is neither a watched framework's nor our own."""
        return self._file_class(filename) == _LIBRARY

    def resolve(self, position: Position) -> Site:
        """Return the site (file, line, columns, function) of a position. Resolved once each."""
        site = self._sites.get(position)
        if site is None:
            site = self._sites[position] = self._locate(*position)
        return site

    def adopt(self, site: Site) -> Position:
        """Return a position that resolves to `site`, a line that a framework kept as text."""
        position = self._adopted.get(site)
        if position is None:
            code = compile("", site.file, "exec")
            position = self._adopted[site] = code, -1 - len(self._adopted)
            self._sites[position] = site
        return position

    def at(self, file: str, line: int, function: str | None = "") -> Site:
        """Return the site of a line known only by file and number, as frameworks record it."""
        self._note_file(file)
        return Site(file=file, line=line, function=function or "")

    def of_lines(self, places: Iterable[Place]) -> Iterator[Site]:
        """Yield the sites of those lines that are the user's own."""
        for place in places:
            written = self._original(place[0], place[1]) if self._is_rewritten(place[0]) else place
            if written is not None and self.is_user(written[0]):
                yield self.at(*written)

    def of_error(self, error: BaseException) -> tuple[Site, ...]:
        """Return the user's frames of an exception, outermost first, also those that a framework took out."""
        kept = tuple(self.of_lines(self._rewriting.kept(error))) if self._rewriting is not None else ()
        return (*self._outside(error.__traceback__, kept[:1]), *kept)

    def _outside(self, traceback: TracebackType | None, kept: tuple[Site, ...]) -> Iterator[Site]:
        """Yield the user's frames, up to those that are `kept`, if any are: from the first rewritten one on."""
        while traceback is not None:
            code, offset = traceback.tb_frame.f_code, traceback.tb_lasti
            rewritten = self._is_rewritten(code.co_filename)
            if kept and (rewritten or (code.co_filename, traceback.tb_lineno) == (kept[0].file, kept[0].line)):
                return
            written = not rewritten or self._original(code.co_filename, traceback.tb_lineno) is not None
            if written and self._code_class(code) == _USER:
                yield self.resolve((code, offset))
            traceback = traceback.tb_next

    def _locate(self, code: CodeType, offset: int) -> Site:
        if code not in self._positions:
            self._positions[code] = list(code.co_positions())
        where = self._positions[code]
        index = offset // 2
        line, end_line, column, end_column = where[index] if 0 <= index < len(where) else (None,) * 4
        if self._is_rewritten(code.co_filename):
            original = self._original(code.co_filename, line or 0) or self._original_of(code)
            if original is not None:
                return self.at(*original)
        self._note_file(code.co_filename)
        return Site(
            file=code.co_filename,
            line=line or code.co_firstlineno,
            column=-1 if column is None else column,
            end_line=end_line or 0,
            end_column=-1 if end_column is None else end_column,
            function=code.co_qualname,
        )

    def _note_file(self, file: str) -> None:
        if file not in self._seen_files:
            self._seen_files.add(file)
            if self._on_file is not None:
                self._on_file(file)

    def _is_rewritten(self, file: str) -> bool:
        return self._rewriting is not None and self._rewriting.marker in file

    def _original(self, file: str, line: int) -> Place | None:
        return self._rewriting.original(file, line) if self._rewriting is not None else None

    def _original_of(self, code: CodeType) -> Place | None:
        return self._original(code.co_filename, code.co_firstlineno)

    def _code_class(self, code: CodeType) -> int:
        kind = self._class_of_code.get(code)
        if kind is None:
            file = code.co_filename
            if self._is_rewritten(file):
                original = self._original_of(code)
                file = "<rewritten>" if original is None else original[0]
            kind = self._class_of_code[code] = self._file_class(file)
        return kind

    def _file_class(self, filename: str) -> int:
        kind = self._class_of_file.get(filename)
        if kind is None:
            kind = self._class_of_file[filename] = _class_of(filename, self._ignored)
        return kind


def _class_of(filename: str, ignored: list[str]) -> int:
    if filename.startswith("<"):
        # <stdin>, <ipython-input-...> and doctests hold the user's lines; <frozen ...> and <string> don't.
        typed = filename.startswith(("<stdin", "<ipython", "<doctest", "<python-input")) or bool(
            linecache.getlines(filename)
        )
        return _USER if typed and not filename.startswith("<frozen") else _FRAMEWORK
    path = os.path.abspath(filename)
    if any(path.startswith(folder) for folder in ignored):
        return _FRAMEWORK
    if f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path:
        return _LIBRARY
    return _FRAMEWORK if any(path.startswith(folder) for folder in _PYTHONS_OWN) else _USER


def _own_folder() -> str:
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


_PYTHON = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "scripts")]
_PYTHONS_OWN = tuple(
    {os.path.join(full(path), "") for path in _PYTHON for full in (os.path.abspath, os.path.realpath)}
)
"""Where Python's own modules and the scripts of installed programs are."""
