"""LineIndex: where the events of a log file are, found at reading speed and without decoding them."""

from __future__ import annotations

import errno
import os
import re
import stat
import weakref
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import msgspec

from graphdebug.log.codec import KINDS, decode
from graphdebug.log.unfolding import Unfolded, is_folded

__all__ = ["CORRUPT", "HEAD", "UNREADABLE", "LineIndex"]

UNREADABLE = 255
"""The kind of a line that is not an event."""
CORRUPT = 254
"""The kind of a line that turned out, when it was decoded, not to be the event it began as."""

_BLOCK = 1 << 20
_LONGEST = 256 << 20
"""Bytes of a line that is still read."""
_PREFIX = len('{"event":"node')
_CODES = {f'{{"event":"{tag}"'.encode()[:_PREFIX]: code for code, tag in enumerate(KINDS)}
_CODE_OF_TAG = {tag: code for code, tag in enumerate(KINDS)}
HEAD = re.compile(rb'\s*\{"event": ?"\w+", ?"seq": ?(-?\d{1,18})(?!\d)(?:, ?"step": ?(-?\d{1,18})(?!\d))?')
"""The beginning of a line: its sequence number, and its step if it has one."""


class LineIndex:
    """The lines of a file: offset and kind of each; sequence and step numbers are parsed block by block.

    Seeks instead of mapping the file: a mapped log that is written anew would kill the process.

    Args:
        path: the file; OSError if it can't be opened.

    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)
        self.text = Unfolded(self._fd)
        self.end = 0
        """Where the text of the last whole line ends."""
        self.offsets = array("Q")
        self.kinds = bytearray()
        self._blocks: list[_Block] = []
        self._firsts: list[int] = []
        self._rising = True
        self._compared = 0, True

    @property
    def is_torn(self) -> bool:
        """Whether the file ends with a line that is not whole, or not looked at yet."""
        return self.text.taken < self.size

    @property
    def size(self) -> int:
        """Size of the file now, in bytes; OSError if it is a folder or a pipe."""
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        return status.st_size

    def extend(self) -> None:
        """Index the whole lines that the file has grown by."""
        size = self.size
        while self.text.taken < size:
            block = self.text.raw(self.text.taken, min(_BLOCK, size - self.text.taken))
            cut = block.rfind(b"\n")
            if cut >= 0:
                self._take(block[:cut])
            elif not self._add_giant(size):
                return

    def add_last(self) -> bool:
        """Index a last line without its newline, if it is a whole event; False where it is torn."""
        length = self.size - self.text.taken
        tail = self.text.raw(self.text.taken, length) if length <= _LONGEST else b""
        if not _is_event(tail) and not self.text.can_unfold(tail):
            return False
        self._take(tail)
        self.text.lacks_newline()
        self.end -= 1
        return True

    def line(self, number: int) -> bytes:
        """Return the bytes of a line, without its newline. Lines are numbered from 0."""
        start = self.offsets[number]
        return self._read(start, self._stop(number) - start).rstrip(b"\n")

    def lines(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the numbers and bytes (newline included) of some lines; neighbours are read together."""
        offsets, last, end = self.offsets, len(self.offsets) - 1, self.end
        buffer, low, high = b"", 0, 0
        for position, number in enumerate(numbers):
            start = offsets[number]
            stop = offsets[number + 1] if number < last else end
            if not (low <= start and stop <= high):
                ahead = numbers[min(position + 512, len(numbers) - 1)]
                until = self._stop(ahead) if ahead >= number else stop
                low, high = start, max(stop, min(until, start + _BLOCK))
                buffer = self._read(low, high - low)
            yield number, buffer[start - low : stop - low]

    def block(self, first: int, count: int) -> Sequence[bytes]:
        """Return the bytes of `count` neighbouring lines."""
        start = self.offsets[first]
        return self._read(start, self._stop(first + count - 1) - start).split(b"\n")[:count]

    def code(self, tag: str) -> int:
        """Return the number that stands for a kind in `kinds`."""
        return _CODE_OF_TAG[tag]

    def of_kind(self, tag: str) -> Sequence[int]:
        """Return the numbers of the lines of one kind."""
        code = _CODE_OF_TAG[tag]
        return array("L", [number for number, kind in enumerate(self.kinds) if kind == code])

    def containing(self, tag: str, words: Sequence[bytes]) -> Sequence[int]:
        """Return the numbers of the lines of one kind that hold all of `words` (at least one)."""
        code, found = _CODE_OF_TAG[tag], array("L")
        rarest = max(words, key=len)
        for block in self._blocks:
            start, last = self.offsets[block.first], block.first + block.count - 1
            data = self._read(start, self._stop(last) - start)
            at = data.find(rarest)
            while at >= 0:
                number = bisect_right(self.offsets, start + at, block.first, last + 1) - 1
                low, high = self.offsets[number] - start, self._stop(number) - start
                if self.kinds[number] == code and all(data.find(word, low, high) >= 0 for word in words):
                    found.append(number)
                at = data.find(rarest, high)
        return found

    def line_of_seq(self, seq: int) -> int | None:
        """Return the number of the line with this sequence number, or None."""
        near = bisect_right(self._firsts, seq) - 1 if self._rising else -1
        if near >= 0 and (found := self._blocks[near].find(self, seq)) is not None:
            return found
        others = [] if self._rising and self._apart() else self._blocks
        return next((at for block in others if (at := block.find(self, seq)) is not None), None)

    def _apart(self) -> bool:
        """Whether the numbers of each block lie between those of its neighbours, as one thread writes them."""
        known, apart = self._compared
        if known != len(self._blocks):
            ranges = [block.range(self) for block in self._blocks]
            apart = all(one[1] < other[0] for one, other in pairwise(ranges))
            self._compared = len(self._blocks), apart
        return apart

    def of_step(self, tag: str, step: int) -> Sequence[int]:
        """Return the numbers of the lines of one kind and step."""
        code, kinds = _CODE_OF_TAG[tag], self.kinds
        return [
            number
            for block in self._blocks_of_step(step)
            for number in block.of_step(self, step)
            if kinds[number] == code
        ]

    def steps(self, tag: str) -> Sequence[int]:
        """Return the steps that lines of one kind have, rising."""
        code, found = _CODE_OF_TAG[tag], set[int]()
        for block in self._blocks:
            kinds = self.kinds[block.first : block.first + block.count]
            found.update(step for step, kind in zip(block.steps(self), kinds, strict=True) if kind == code)
        found.discard(_NONE)
        return sorted(found)

    def _blocks_of_step(self, step: int) -> Sequence[_Block]:
        """The blocks that may hold lines of `step`: a step's lines lie together unless somebody sorted them."""
        firsts = [block.first_step for block in self._blocks]
        if any(a > b for a, b in pairwise(firsts)):
            return self._blocks
        return self._blocks[max(0, bisect_left(firsts, step) - 2) : bisect_right(firsts, step) + 1]

    def _take(self, block: bytes) -> None:
        for lines in self.text.take(block):
            self._add(lines)

    def _add(self, lines: list[bytes]) -> None:
        code_of = _CODES.get
        codes = [code_of(line[:_PREFIX], UNREADABLE) for line in lines]
        if UNREADABLE in codes:
            codes = [code_of(line[:_PREFIX]) or _slow_code(line) for line in lines]
        first = len(self.kinds)
        self.kinds += bytes(codes)
        ends = list(accumulate([len(line) + 1 for line in lines], initial=self.end))
        self.end = ends.pop()
        self.offsets.extend(ends)
        self._add_block(_Block(first, lines))

    def _add_giant(self, size: int) -> bool:
        """Pass over one line that is longer than a block; False where its end is not written yet."""
        start = at = self.text.taken
        while at < size:
            found = self.text.raw(at, _BLOCK).find(b"\n")
            if found < 0:
                at += _BLOCK
                continue
            length, head = at + found - start, self.text.raw(start, 256)
            if is_folded(head) and length <= _LONGEST:
                self._take(self.text.raw(start, length))
                return True
            self.kinds.append(_CODES.get(head[:_PREFIX], UNREADABLE) if length <= _LONGEST else UNREADABLE)
            self.offsets.append(self.end)
            self._add_block(_Block(len(self.kinds) - 1, [head]))
            self.text.pass_over(length + 1)
            self.end += length + 1
            return True
        return False

    def _add_block(self, block: _Block) -> None:
        if block.first_step == _NONE and self._blocks:
            block.first_step = self._blocks[-1].first_step
        self._rising = self._rising and (not self._firsts or self._firsts[-1] <= block.first_seq)
        self._blocks.append(block)
        self._firsts.append(block.first_seq)

    def _stop(self, number: int) -> int:
        return self.offsets[number + 1] if number + 1 < len(self.offsets) else self.end

    def _read(self, start: int, length: int) -> bytes:
        return self.text.read(start, length)


_NONE = -(1 << 62)


class _Block:
    """Some neighbouring lines; their sequence and step numbers are parsed when first asked for."""

    def __init__(self, first: int, lines: Sequence[bytes]) -> None:
        self.first = first
        self.count = len(lines)
        heads = [head for line in (*lines[:8], lines[-1]) if (head := HEAD.match(line))]
        self.first_seq = int(heads[0][1]) if heads else _NONE
        self.first_step = next((int(head[2]) for head in heads if head[2]), _NONE)
        self._heads: tuple[array[int], array[int]] | None = None
        self._range = _NONE, _NONE
        self._sorted = False

    def find(self, index: LineIndex, seq: int) -> int | None:
        """Return the number of the line with this sequence number, or None if it is not in this block."""
        seqs = self._parsed(index)[0]
        if not self._range[0] <= seq <= self._range[1]:
            return None
        near = bisect_left(seqs, seq)
        if near < len(seqs) and seqs[near] == seq:  # they mostly rise
            return self.first + near
        return self.first + seqs.index(seq) if not self._sorted and seq in seqs else None

    def range(self, index: LineIndex) -> tuple[int, int]:
        """Return the lowest and the highest sequence number."""
        self._parsed(index)
        return self._range

    def steps(self, index: LineIndex) -> array[int]:
        """Return the step of each line."""
        return self._parsed(index)[1]

    def of_step(self, index: LineIndex, step: int) -> list[int]:
        """Return the numbers of the lines of `step`."""
        return [self.first + at for at, one in enumerate(self._parsed(index)[1]) if one == step]

    def _parsed(self, index: LineIndex) -> tuple[array[int], array[int]]:
        if self._heads is None:
            heads = [HEAD.match(line) for line in index.block(self.first, self.count)]
            seqs = array("q", [int(head[1]) if head else _NONE for head in heads])
            steps = array("q", [int(head[2]) if head and head[2] else _NONE for head in heads])
            self._heads = seqs, steps
            known = [seq for seq in seqs if seq != _NONE]
            self._range = min(known, default=_NONE), max(known, default=_NONE)
            self._sorted = all(one < other for one, other in pairwise(seqs))
        return self._heads


def _slow_code(line: bytes) -> int:
    """The kind of a line that another tool has written anew: the same JSON, with other spaces."""
    head = re.match(rb'\s*\{"event": ?"(\w{1,20})"', line)
    code = _CODE_OF_TAG.get(head[1].decode("ascii", "replace"), UNREADABLE) if head else UNREADABLE
    return code if _is_event(line) else UNREADABLE


def _is_event(line: bytes) -> bool:
    try:
        decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
