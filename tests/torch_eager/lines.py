"""Line numbers of marks in test files."""

from __future__ import annotations

from pathlib import Path


def line_of(file, mark):
    """Number of the one line of `file` that holds `mark` outside of a call of this function."""
    lines = Path(file).read_text().splitlines()
    found = [n for n, line in enumerate(lines, 1) if mark in line and "line_of(" not in line]
    assert len(found) == 1, (mark, found)
    return found[0]
