"""Losses: an op that failed inside one of Keras's losses is told as that loss, with prediction and target."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import NamedTuple

from msgspec.structs import replace

from graphdebug.model.event import Operand, Shape

__all__ = ["Loss", "loss_in_progress", "loss_of"]

_FILE = "/keras/src/losses/losses.py"
_FUNCTIONS = {
    "mean_squared_error": "mse_loss",
    "mean_absolute_error": "l1_loss",
    "mean_absolute_percentage_error": "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error": "mean_squared_logarithmic_error",
    "huber": "huber_loss",
    "log_cosh": "log_cosh",
    "poisson": "poisson",
    "kl_divergence": "kl_div",
}
"""The losses that join the two elementwise: Keras leaves it to an op to find that they do not go together."""


class Loss(NamedTuple):
    """A loss that was being computed."""

    function: str
    guess: Shape
    target: Shape

    def operands(self, given: Iterable[Operand]) -> list[Operand]:
        """Return those of `given` that are the prediction and the target, in this order, if both are there."""
        given = list(given)
        guess = next((one for one in given if one.fact.shape == self.guess), None)
        target = next((one for one in given if one.fact.shape == self.target), None)
        if guess is None or target is None:
            return []
        return [replace(guess, role="logits"), replace(target, role="labels")]


def loss_in_progress() -> Loss | None:
    """Return the loss of Keras's that is being computed of two different shapes, innermost first."""
    return loss_of(_stack(sys._getframe(1)))


def loss_of(frames: Iterable[FrameType]) -> Loss | None:
    """Return the innermost loss of Keras's of two different shapes that `frames` are of, innermost first."""
    for frame in frames:
        code = frame.f_code
        if code.co_name in _FUNCTIONS and code.co_filename.replace("\\", "/").endswith(_FILE):
            guess, target = (_shape(frame.f_locals.get(name)) for name in ("y_pred", "y_true"))
            if guess is None or target is None or guess == target:
                return None
            return Loss(_FUNCTIONS[code.co_name], guess, target)
    return None


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _shape(value: object) -> Shape | None:
    shape = getattr(value, "shape", None)
    return tuple(shape) if shape is not None and getattr(shape, "rank", 0) is not None else None
