"""graphdebug.keras: a Keras callback that records `fit`, for those who want it there."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras

from graphdebug.recording import Recording, record

__all__ = ["Callback"]


class Callback(keras.callbacks.Callback):  # type: ignore[misc] # keras has no type information
    """Records the training that it is given to.

    ``model.fit(x, y, callbacks=[graphdebug.keras.Callback("run.jsonl")])`` is
    ``with graphdebug.record("run.jsonl"): model.fit(x, y)`` from the first batch on; what fails before it
    (while Keras builds the model) only the latter sees.

    Args:
        path: log file to write, or None to keep the run in memory.
        options: the options of `graphdebug.record`.

    Attributes:
        run: the recording, once training has begun.

    """

    def __init__(self, path: str | os.PathLike[str] | None = None, **options: Any) -> None:
        super().__init__()
        self._recorded = lambda: record(path, **options)
        self._step: Callable[..., Any] | None = None
        self.run: Recording | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin to record; an exception of a training step ends the recording and is explained."""
        del logs
        self.run = self._recorded()  # type: ignore[no-untyped-call] # keras has no type information
        self.run.__enter__()
        self._step = self.model.train_function
        self.model.train_function = self._watched(self.model.train_function)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the recording."""
        del logs
        self._close(None)

    def _watched(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def train_step(*args: Any, **kwargs: Any) -> Any:
            try:
                return step(*args, **kwargs)
            except StopIteration:
                raise
            except BaseException as error:
                self._close(error)
                raise

        return train_step

    def _close(self, error: BaseException | None) -> None:
        if self._step is not None and self.run is not None:
            self.model.train_function, self._step = self._step, None
            kind = None if error is None else type(error)
            self.run.__exit__(kind, error, getattr(error, "__traceback__", None))
