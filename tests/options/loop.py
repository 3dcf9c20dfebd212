"""A training loop as the checks of options see it: the same small network in each framework and mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Spoil = Callable[[int, Any], Any]
"""Changes the input of a step: an array that the framework's numbers can be computed with."""


def as_it_is(_step, x):
    return x


def nothing(_step):
    pass


@dataclass
class Loop:
    """An encoder, a ReLU and a head, trained by an optimizer; ready to be trained."""

    train: Callable[..., None]
    """Called with a number of steps, ``spoil`` and ``before``, which is called with the number of each step."""
    encoder: str
    """Pattern of module paths that the encoder's nodes have."""
    relu: str
    """What nodes of the ReLU have for their op or function."""
    parameters: set[str]
    """Names that gradients have."""
    looks_ahead: bool = False
    """Whether it fetches the data of the next step before it says that the step begins."""
