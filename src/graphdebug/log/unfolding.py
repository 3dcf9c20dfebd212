"""Unfolding: a log's text as if every line had been written in full, whatever was folded when it was written.

All that reads a log reads this text, by offsets in it, so that nothing else has to know of forms.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, MutableMapping

import msgspec

from graphdebug.log.folding import FormLine, RunLine
from graphdebug.model.form import Form

__all__ = ["Unfolded", "is_folded", "unfold"]

_decoder = msgspec.json.Decoder(FormLine | RunLine)
_is_folded = re.compile(rb'\s*\{"event": ?"(?:form|filled)"').match
_KEPT = 8
"""Runs whose lines are kept: neighbours are asked for one after the other."""
_BLOCK = 1 << 20


class Unfolded:
    """The text of a log file, known as far as `take` was told of lines.

    Args:
        descriptor: of the file, open.

    """

    def __init__(self, descriptor: int) -> None:
        self.taken = 0
        """Where in the file the lines end that the text has."""
        self.file_lines = 0
        """How many these are."""
        self._file = descriptor
        self._forms: dict[int, Form] = {}
        self._end = self._lines = 0
        # Parts of the text: where each starts in it and in the file, its size there, and the line that it is.
        self._starts, self._places, self._sizes = array("Q"), array("Q"), array("Q")
        self._firsts, self._file_firsts = array("Q"), array("Q")
        self._folded = bytearray()
        self._kept: dict[int, bytes] = {}

    def raw(self, start: int, length: int) -> bytes:
        """Return bytes of the file as it is."""
        return os.pread(self._file, length, start)

    def take(self, block: bytes) -> Iterator[list[bytes]]:
        """Add the next lines of the file, without the last newline; yield lines of the text, some at a time."""
        if b'"form"' not in block and b'"filled"' not in block:
            lines = block.split(b"\n")
            self._add(len(block) + 1, len(block) + 1, len(lines))
            yield lines
            return
        found: list[bytes] = []
        size = 0
        for line in block.split(b"\n"):
            full = unfold(line, self._forms)
            lines = [line] if full is None else full.split(b"\n") if full else []
            length = len(line if full is None else full) + bool(lines)
            self._add(len(line) + 1, length, len(lines), folded=full is not None)
            found += lines
            size += length
            if size > _BLOCK:
                yield found
                found, size = [], 0
        if found:
            yield found

    def can_unfold(self, line: bytes) -> bool:
        """Whether a line is a run that filled in a form, and whole."""
        return bool(unfold(line, dict(self._forms)))

    def pass_over(self, length: int) -> None:
        """Add one line of the file that is too long to be looked at, its newline included."""
        self._add(length, length, 1)

    def lacks_newline(self) -> None:
        """Say that the last line that was taken has no newline yet."""
        self.taken -= 1
        self._end -= 1

    def read(self, start: int, length: int) -> bytes:
        """Return a part of the text."""
        parts: list[bytes] = []
        at = max(0, bisect_right(self._starts, start) - 1)
        while length > 0 and at < len(self._starts):
            stop = self._starts[at + 1] if at + 1 < len(self._starts) else self._end
            part = self._part(at, start - self._starts[at], min(length, stop - start))
            parts.append(part)
            start, length, at = start + len(part), length - len(part), at + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def file_line(self, number: int) -> int:
        """Return which line of the file a line of the text is in; both count from 0."""
        at = bisect_right(self._firsts, number) - 1
        return self._file_firsts[at] + (0 if self._folded[at] else number - self._firsts[at])

    def _part(self, at: int, skipped: int, length: int) -> bytes:
        place = self._places[at]
        if not self._folded[at]:
            return self.raw(place + skipped, length)
        if place not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[place] = (unfold(self.raw(place, self._sizes[at] - 1), self._forms) or b"") + b"\n"
        return self._kept[place][skipped : skipped + length]

    def _add(self, size: int, length: int, lines: int, *, folded: bool = False) -> None:
        """Add a part of `size` bytes in the file and `length` in the text; plain parts that adjoin are one."""
        last = len(self._starts) - 1
        adjoins = last >= 0 and not self._folded[last] and self._places[last] + self._sizes[last] == self.taken
        if adjoins and not folded:
            self._sizes[last] += size
        elif lines:
            self._starts.append(self._end)
            self._places.append(self.taken)
            self._sizes.append(size)
            self._firsts.append(self._lines)
            self._file_firsts.append(self.file_lines)
            self._folded.append(folded)
        self.taken += size
        self.file_lines += 1 if folded else lines
        self._end += length
        self._lines += lines


def is_folded(beginning: bytes) -> bool:
    """Whether a line that begins so is a form, or a run that filled one in."""
    return _is_folded(beginning) is not None


def unfold(line: bytes, forms: MutableMapping[int, Form]) -> bytes | None:
    """Return the lines that a line of the file stands for, without a last newline.

    A form stands for none and is added to `forms`. None where the line stands for itself: it is an event, or
    can't be read.
    """
    if not _is_folded(line):
        return None
    try:
        one = _decoder.decode(line)
        if isinstance(one, RunLine):
            return forms[one.form].fill(one.seq, one.step, [bytes(text) for text in one.texts])
        forms[one.form] = Form(one.lines.encode(), one.gaps)
    except (msgspec.DecodeError, UnicodeError, RecursionError, LookupError, ValueError, OverflowError):
        return None
    return b""
