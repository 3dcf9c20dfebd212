"""Output: what a user sees of a run, stdout and stderr in order, and the lines of theirs that it names."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mention", "Output", "Reading", "without_frames_of"]

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
"""A frame of a Python traceback, and of the stacks in TensorFlow's messages."""
_CHECKED = re.compile(r"(?P<file>\S+\.py) \(L(?P<line>\d+)\)")
"""A frame in the message of TensorFlow's check_numerics, whose path may be cut off on the left."""
_PLACE = re.compile(r"(?P<file>[^\s:\"'()]+\.py):(?P<line>\d+)")
"""A place as warnings and graphdebug's reports write it."""
_OWN_REPORT = "graphdebug: "


@dataclass(frozen=True, slots=True)
class Mention:
    """One naming of a line of the user's program."""

    at: int
    """Line of the output it stands on, from 0."""
    line: int
    """Line of the program, from 1."""
    block: int
    """Line of the output (from 0) on which its stack or the report begins; its own line outside of them."""


class Reading:
    """What an output names, in one of the orders in which people read it."""

    def __init__(self, mentions: list[Mention]) -> None:
        self._mentions = mentions
        self.places = list(dict.fromkeys(one.line for one in mentions))
        """The distinct lines of the program, in the order of reading."""

    def rank(self, lines: Collection[int]) -> int | None:
        """Return the place (from 1) of the first of `lines`, None if none is named."""
        return next((place for place, line in enumerate(self.places, start=1) if line in lines), None)

    def space(self, lines: Collection[int]) -> int | None:
        """Return how many user frames of the same block come before the first of `lines`."""
        naming = next((one for one in self._mentions if one.line in lines), None)
        if naming is None:
            return None
        block = [one.line for one in self._mentions if one.block == naming.block]
        return list(dict.fromkeys(block)).index(naming.line)


class Output:
    """The lines of an output and the places in one program that they name.

    Args:
        text: all that was printed.
        program: path of the program that was run.

    """

    def __init__(self, text: str, program: Path) -> None:
        self.lines = text.splitlines()
        self._program = program
        own = (at for at, line in enumerate(self.lines) if line.startswith(_OWN_REPORT))
        self._report = next(own, len(self.lines))
        self._mentions = self._read()

    def first_naming(self, lines: Collection[int]) -> int | None:
        """Return on which line of the output (from 1) one of `lines` is first named, reading down."""
        return next((one.at + 1 for one in self._mentions if one.line in lines), None)

    def readings(self) -> tuple[Reading, Reading]:
        """Return what is named in the two orders in which people read: block by block down, and up.

        A stack ends with the frame to look at first ("most recent call last"), so its frames count from
        the innermost out. graphdebug's own report, which is printed below the traceback, counts before it.
        """

        def order(mention: Mention, direction: int) -> tuple[bool, int, int]:
            if mention.block == self._report:
                return False, mention.at, 0
            return True, direction * mention.block, -mention.at

        down = sorted(self._mentions, key=lambda one: order(one, 1))
        up = sorted(self._mentions, key=lambda one: order(one, -1))
        return Reading(down), Reading(up)

    def _read(self) -> list[Mention]:
        mentions: list[Mention] = []
        stack: int | None = None
        for at, line in enumerate(self.lines):
            frame = _FRAME.search(line) or _CHECKED.search(line)
            if not line.startswith(" "):
                stack = None
            if frame is not None and stack is None:
                stack = at
            block = min(self._report, at if frame is None or stack is None else stack)
            found = [frame] if frame is not None else _PLACE.finditer(line)
            mentions += [Mention(at, int(one["line"]), block) for one in found if self._is_user(one["file"])]
        return mentions

    def _is_user(self, file: str) -> bool:
        path = Path(file.lstrip(".").lstrip("/")) if file.startswith("...") else Path(file)
        if path.is_absolute():
            return path == self._program or path.resolve() == self._program.resolve()
        return path.name == self._program.name and self._program.as_posix().endswith(path.as_posix())


def without_frames_of(files: Collection[str], text: str) -> str:
    """Return `text` without the stack frames of `files`, the launcher's, which a user would not have."""
    kept: list[str] = []
    depth: int | None = None
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" "))
        if depth is not None and indent > depth and _FRAME.search(line) is None:
            continue
        frame = _FRAME.search(line)
        is_launcher = frame is not None and frame["file"] in files
        depth = indent if is_launcher else None
        if not is_launcher:
            kept.append(line)
    return "".join(kept)
