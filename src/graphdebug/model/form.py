"""Form: some lines of a log with gaps, filled in anew for every run that differs in nothing else.

A training loop on a static graph runs the same nodes in every step. What differs goes into the gaps: sequence
numbers, the step, and texts (times, statistics). A log that holds the form needs no more of a run than these.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["GAP", "STEP", "Form"]

GAP = b"\0"
"""Stands in the lines where something goes in; JSON text has no such byte."""
STEP = -1
"""What goes into a gap: the step. A number from 0 on is a distance from the run's first sequence number, and
-2, -3 ... are the first, second ... of its texts."""


class Form:
    """Lines with gaps.

    Args:
        lines: the text, without a last newline, each gap a `GAP`.
        gaps: what goes into each, in order.

    Raises:
        ValueError: there are more gaps or fewer.

    """

    def __init__(self, lines: bytes, gaps: Sequence[int]) -> None:
        if lines.count(GAP) != len(gaps):
            raise ValueError(f"{len(gaps)} gaps are described, the lines have {lines.count(GAP)}")
        self.lines = lines
        self.gaps = tuple(gaps)
        self.count = lines.count(b"\n") + 1
        """How many lines."""
        self._format = lines.replace(b"%", b"%%").replace(GAP, b"%b")

    def fill(self, first: int, step: int, texts: Sequence[bytes]) -> bytes:
        """Return the lines of a run.

        Args:
            first: its first sequence number.
            step: the step it ran in.
            texts: what goes into the gaps for texts.

        Raises:
            IndexError: a text is missing.

        """
        return self._format % tuple([
            b"%d" % (first + what) if what >= 0 else b"%d" % step if what == STEP else texts[-2 - what]
            for what in self.gaps
        ])  # fmt: skip
