"""Datasets: the stages of tf.data with the lines that made them, and the shapes of their elements."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops import dataset_ops

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.facts import dtype_word, shape_of
from graphdebug.model.event import Declaration, TensorFact
from graphdebug.model.site import Position

__all__ = ["Datasets", "watch_datasets"]


class Datasets:
    """The datasets that were made in this recording by lines of the user's.

    Args:
        sink: where declarations go.

    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._told: dict[tuple[str, Position], str] = {}
        """Names of the stages by kind and line: one that is made in each step is told once."""

    def made(self, dataset: Any, frame: FrameType | None) -> None:
        """A stage was made: tell it, if the user's own line made it."""
        while frame is not None and "/tensorflow/python/" in frame.f_code.co_filename.replace("\\", "/"):
            frame = frame.f_back
        if frame is None or not self._sink.sites.is_user(frame.f_code.co_filename):
            return
        positions = self._sink.sites.positions(frame)
        kind = type(dataset).__name__.strip("_")
        known = self._told.get((kind, positions[0]))
        self._names[dataset] = known or f"dataset {len(self._told)}"
        if known is None:
            self._told[kind, positions[0]] = self._names[dataset]
            self._sink.emit([self._declaration(dataset, kind, positions)])

    def _declaration(self, dataset: Any, kind: str, positions: list[Position]) -> Declaration:
        sites = [self._sink.sites.resolve(one) for one in positions]
        words = {"stage": kind, "sources": [self._names.get(one, "") for one in dataset._inputs()]}
        facts = {f"element {i}": fact for i, fact in enumerate(_elements(dataset))}
        return Declaration(
            self._sink.next_seq(), self._names[dataset], "Dataset", sites[0], "traceback", words, facts,
            tuple(sites[1:]),
        )  # fmt: skip


def watch_datasets(datasets: Datasets) -> Callable[[], None]:
    """Keep the line of each stage as it is made."""
    make = dataset_ops.DatasetV2.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 -- it is TensorFlow's
        make(self, *args, **kwargs)
        try:
            datasets.made(self, sys._getframe(1))
        except Exception as error:
            datasets._sink.tool_error("keeping the line of a dataset", error)

    __init__.__code__ = __init__.__code__.replace(co_filename=dataset_ops.__file__)
    dataset_ops.DatasetV2.__init__ = __init__

    def restore() -> None:
        dataset_ops.DatasetV2.__init__ = make

    return restore


def _elements(dataset: Any) -> Iterator[TensorFact]:
    """Yield what is known of each part of an element."""
    for spec in tf.nest.flatten(dataset.element_spec):
        if isinstance(spec, tf.TensorSpec):
            yield TensorFact(shape_of(spec.shape), dtype_word(spec.dtype))
