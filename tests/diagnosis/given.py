"""Given: what the programs of a table are called with, as arrays that each framework takes."""

from __future__ import annotations

import numpy as np

__all__ = ["arrays", "given", "images"]


def given(*values):
    """Say what a program is called with: arrays, or (list, dtype)."""

    def mark(program):
        program.given = values
        return program

    return mark


def arrays(program):
    """The arrays a program is called with."""
    return [np.asarray(*one) if isinstance(one, tuple) else one for one in program.given]


def images(seed, size=12, low=0, high=256):
    """Some images of bytes."""
    return np.random.default_rng(seed).integers(low, high, (2, size, size, 3), dtype=np.uint8)
