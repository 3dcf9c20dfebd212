"""Training: how a model was compiled, and what a call that failed was given, read off its arguments."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graphdebug.backends.keras.layers import dtype_word
from graphdebug.backends.protocol import Sink
from graphdebug.backends.ranges import add_values
from graphdebug.model.event import Declaration, Event, TensorFact, number

__all__ = ["METHODS", "Training"]

METHODS = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch")
"""Methods of a model that run it on data."""
_ROLES = {
    "x": "input", "y": "labels", "sample_weight": "sample_weight", "class_weight": "class_weight",
    "validation_data": "validation_data",
}  # fmt: skip
_FITS = 8
"""Calls that went well whose data are looked at."""
_LARGEST = 1 << 22
"""Elements of labels that are looked through."""


class Training:
    """The compiled models of this recording.

    Args:
        sink: where declarations go.

    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._depth = 0
        self._told: list[str] = []
        """Data of calls that went well, as they were told."""

    def compiled(
        self, model: Any, method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        """A model is told its loss: keep the line and the words."""
        try:
            told = inspect.signature(method).bind_partial(model, *given, **named).arguments
            positions = self._sink.sites.positions(sys._getframe(2))
            sites = [self._sink.sites.resolve(one) for one in positions]
            words = {
                key: _word(told[key]) for key in ("optimizer", "loss", "metrics") if told.get(key) is not None
            }
            event = Declaration(
                self._sink.next_seq(), f"{model.name}.compile", "Compiled", sites[0] if sites else None,
                "traceback", {**words, "model": model.name}, {}, tuple(sites[1:]),
            )  # fmt: skip
            self._sink.emit([event])
        except Exception as error:
            self._sink.tool_error("reading how a model was compiled", error)

    def run(self, model: Any, method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a method that runs a model on data; if it fails, tell the data of the outermost such call."""
        self._depth += 1
        frozen = self._depth == 1 and method.__name__ == "fit" and _all_frozen(model)
        try:
            result = method(model, *given, **named)
            if frozen:
                self._fitted(model)
            if self._depth == 1 and method.__name__ == "fit" and len(self._told) < _FITS:
                self._given(method, (model, *given), named)
            return result
        except Exception:
            if self._depth == 1:
                self._failed(model, method, given, named)
            raise
        finally:
            self._depth -= 1

    def _fitted(self, model: Any) -> None:
        """A model was fitted that had nothing to train: tell it, unless a callback has changed that."""
        if not _all_frozen(model):
            return
        try:
            positions = self._sink.sites.positions(sys._getframe(3))
            sites = [self._sink.sites.resolve(one) for one in positions]
            words = {"model": model.name, "variables": len(model.variables), "trainable": 0}
            event = Declaration(
                self._sink.next_seq(), f"{model.name}.fit", "Fitted", sites[0] if sites else None,
                "traceback", words, {}, tuple(sites[1:]),
            )  # fmt: skip
            self._sink.emit([event])
        except Exception as error:
            self._sink.tool_error("reading what a model was fitted with", error)

    def _given(self, method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> None:
        """A model was fitted: tell the range of its labels, and an input that is one number throughout."""
        try:
            bound = inspect.signature(method).bind_partial(*given, **named).arguments
            positions = self._sink.sites.positions(sys._getframe(3))
            sites = [self._sink.sites.resolve(one) for one in positions]
            for name in ("x", "y"):
                parts = [pair for pair in _arrays(bound.get(name), name) if isinstance(pair[1], np.ndarray)]
                for label, array in parts if len(parts) == 1 else ():
                    words: dict[str, Any] = {}
                    add_values(words, array)
                    fact = words.pop("fact", None)
                    kept = ("constant",) if name == "x" else ("low", "high")
                    words = {key: words[key] for key in kept if words.get(key) is not None}
                    self._told.append(label)
                    if words and fact is not None:
                        told = {"role": _ROLES[name], "parts": 1, **words}
                        event = Declaration(
                            self._sink.next_seq(), f"data:{label}", "Data", sites[0] if sites else None, "",
                            told, {"value": fact}, tuple(sites[1:]),
                        )  # fmt: skip
                        self._sink.emit([event])
        except Exception as trouble:
            self._sink.tool_error("reading what a model was fitted to", trouble)

    def _failed(
        self, model: Any, method: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        try:
            bound = inspect.signature(method).bind_partial(model, *given, **named).arguments
            events = [one for name in _ROLES if name in bound for one in self._data(name, bound[name])]
            self._sink.emit(events)
        except Exception as trouble:
            self._sink.tool_error("reading the arguments of a failing call", trouble)

    def _data(self, name: str, value: Any) -> Iterator[Event]:
        role = _ROLES[name]
        if isinstance(value, dict) and name == "class_weight":
            words: dict[str, Any] = {"role": role, "classes": sorted(int(one) for one in value)}
            yield Declaration(self._sink.next_seq(), f"data:{name}", "Data", attributes=words)
            return
        parts = list(_arrays(value, name))
        for label, array in parts:
            shape = tuple(None if size is None else int(size) for size in array.shape)
            fact = TensorFact(shape, dtype_word(array.dtype))
            words = {"role": role, "parts": len(parts), **(_kind(array) if role == "labels" else {})}
            yield Declaration(
                self._sink.next_seq(), f"data:{label}", "Data", attributes=words, tensors={"value": fact}
            )


def _all_frozen(model: Any) -> bool:
    """Whether a model has weights, none of them to be trained, by the step that is Keras's own."""
    try:
        own = type(model).train_step.__module__.startswith("keras.")
        return bool(own and model.built and model.layers and model.weights and not model.trainable_variables)
    except Exception:  # a model of another make: nothing is claimed of it
        return False


def _arrays(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the arrays in an argument, each with a name of its own."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _arrays(one, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple) and any(hasattr(one, "shape") for one in value):
        for position, one in enumerate(value):
            yield from _arrays(one, f"{name}[{position}]")
    elif hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, type):
        known = not callable(value.shape) and getattr(value.shape, "rank", 0) is not None
        if known and value.dtype != object:
            yield name, value


def _kind(labels: Any) -> dict[str, Any]:
    """Return what kind of labels an array has: class numbers and their range, one-hot rows, or neither."""
    if not isinstance(labels, np.ndarray):
        labels = labels.numpy() if hasattr(labels, "numpy") and hasattr(labels, "_numpy_internal") else None
    if labels is None or not 0 < labels.size <= _LARGEST or labels.dtype.kind not in "biuf":
        return {}
    values = labels if labels.dtype.kind in "iu" else labels.astype(np.float64)
    low, high = values.min(), values.max()
    whole = bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    rows = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values
    one_hot = bool(whole and values.ndim > 1 and values.shape[-1] > 1 and low >= 0 and (rows.sum(1) == 1).all())
    found = {"low": number(float(low)), "high": number(float(high)), "whole": whole, "one_hot": one_hot}
    if whole and not one_hot:
        found["classes"] = len(np.unique(values))
    return found


def _word(value: Any) -> Any:
    """Return what the user told `compile`, by name."""
    if isinstance(value, list | tuple):
        return [_word(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _word(one) for key, one in value.items()}
    if value is None or isinstance(value, str):
        return value
    logits = getattr(value, "_fn_kwargs", None) or {}
    name = getattr(value, "name", None) or getattr(value, "__name__", None) or type(value).__name__
    return f"{name}(from_logits=True)" if logits.get("from_logits") else str(name)
