"""Layers: each layer that is called, with the line that made it and the sizes it was made for."""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import Any, NamedTuple

import keras

from graphdebug.backends.keras.source import made_at
from graphdebug.backends.protocol import Sink
from graphdebug.model.event import Declaration, Event, Shape, Site, TensorFact
from graphdebug.model.site import Position

__all__ = ["Failed", "Layers", "fact_of"]


class Failed(NamedTuple):
    """The innermost layer that an exception left, and what it was called with."""

    layer: Any
    tensors: tuple[Any, ...]
    """The tensor arguments."""
    called_by_user: bool
    """Whether the user's own code called the layer, and not a model that holds it."""


class Layers:
    """The layers of this recording.

    Args:
        sink: where declarations go.

    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._made: weakref.WeakKeyDictionary[Any, list[Position]] = weakref.WeakKeyDictionary()
        self._weights: dict[int, tuple[weakref.ref[Any], list[Position]]] = {}
        """By the identity of a weight (its equality is elementwise): the user's lines that asked for it."""
        self._told: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._failed: deque[tuple[BaseException, Failed]] = deque(maxlen=4)

    def made(self, layer: Any) -> None:
        """The user made a layer: keep the line, and those around it."""
        try:
            frame = sys._getframe(2)
            positions = self._made.get(_first_layer(layer, frame)) or self._sink.sites.positions(frame)
            if positions:
                self._made[layer] = positions
        except Exception as error:
            self._sink.tool_error("keeping the line of a layer", error)

    def weighed(self, variable: Any) -> None:
        """A layer got a weight: where the user's own code asked for it, keep that line."""
        try:
            frame = sys._getframe(2)
            while frame is not None and frame.f_code.co_name in ("error_handler", "add_weight"):
                frame = frame.f_back  # type: ignore[assignment]
            if self._sink.sites.is_user(frame.f_code.co_filename):
                self._weights[id(variable)] = weakref.ref(variable), self._sink.sites.positions(frame)
        except Exception as error:
            self._sink.tool_error("keeping the line of a weight", error)

    def called(self, layer: Any) -> None:
        """A layer has been called: tell it once, and once more when it has got its weights."""
        try:
            count = len(layer.weights)
            if self._told.get(layer) != count:
                self._told[layer] = count
                self._sink.emit(self.declare(layer))
        except Exception as error:
            self._sink.tool_error("declaring a layer", error)

    def declare_inputs(self) -> None:
        """Tell the inputs of models that were made and not told: no call goes through them."""
        for layer in [one for one in self._made if isinstance(one, keras.layers.InputLayer)]:
            if layer not in self._told:
                self.called(layer)

    def failed(self, layer: Any, args: tuple[Any, ...], error: BaseException) -> None:
        """An exception leaves a layer; the innermost one is kept."""
        try:
            if self.of(error) is None:
                tensors = tuple(one for one in _flat(args) if hasattr(one, "shape") and hasattr(one, "dtype"))
                self._failed.append((error, Failed(layer, tensors, self._by_user(sys._getframe(2)))))
        except Exception as trouble:
            self._sink.tool_error("reading a failing layer", trouble)

    def of(self, error: BaseException) -> Failed | None:
        """Return the layer that `error`, or the exception that Keras replaced by it, came out of."""
        chain: BaseException | None = error
        for _ in range(8):
            found = next((failed for known, failed in self._failed if known is chain), None)
            if found is not None or chain is None:
                return found
            chain = chain.__cause__ or chain.__context__
        return None

    def _by_user(self, frame: FrameType | None) -> bool:
        """Whether the frame above a layer's call, Keras's wrapper around it apart, is the user's."""
        while frame is not None and frame.f_code.co_name in ("error_handler", "__call__"):
            frame = frame.f_back
        return frame is not None and self._sink.sites.is_user(frame.f_code.co_filename)

    def site(self, layer: Any) -> tuple[Site | None, str]:
        """Return the line that made a layer, and how it is known."""
        positions = self._made.get(layer)
        if positions is not None:
            return self._sink.sites.resolve(positions[0]), "traceback"
        found = made_at(layer, self._sink.sites)
        return found, "source" if found is not None else ""

    def _asked_for(self, weight: Any) -> list[Site]:
        """Return the user's lines that asked for a weight, innermost first, if they did so themselves."""
        known, positions = self._weights.get(id(weight), (None, []))
        return (
            [self._sink.sites.resolve(at) for at in positions]
            if known is not None and known() is weight
            else []
        )

    def declare(self, layer: Any) -> list[Event]:
        """Return the declarations of a layer and of its weights."""
        site, how = self.site(layer)
        own = [one for one in layer.weights if one.path.rpartition("/")[0] == layer.path]
        facts = {one.name: fact_of(one) for one in own}
        named = [(name, one) for one in own for name in dict.fromkeys((one.path, _name_below(one))) if name]
        callers = tuple(self._sink.sites.resolve(one) for one in self._made.get(layer, ())[1:])
        events: list[Event] = [
            Declaration(
                self._sink.next_seq(), layer.path or layer.name, type(layer).__name__, site, how,
                _attributes(layer), facts, callers,
            )
        ]  # fmt: skip
        for name, one in named:
            made: list[Site | None] = [*self._asked_for(one)] or [site, *callers]
            events.append(
                Declaration(
                    self._sink.next_seq(), name, "Variable", made[0], how, {"layer": layer.path},
                    {"value": facts[one.name]}, tuple(at for at in made[1:] if at is not None),
                )
            )  # fmt: skip
        return events


def _first_layer(layer: Any, frame: FrameType | None) -> Any:
    """Return the layer whose ``input_shape=`` a model makes this input of, if it does so in `frame`."""
    for _ in range(6 if isinstance(layer, keras.layers.InputLayer) else 0):
        if frame is None:
            break
        if frame.f_code.co_name == "add" and isinstance(frame.f_locals.get("layer"), keras.layers.Layer):
            return frame.f_locals["layer"]
        frame = frame.f_back
    return layer


def _attributes(layer: Any) -> dict[str, Any]:
    """Return what a layer was made with, and the widths it takes and gives in the words of all frameworks."""
    config = getattr(layer, "_auto_config", None)
    given = getattr(config, "config", None) or {}
    found: dict[str, Any] = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in given.items()
        if isinstance(value, int | float | str | tuple) and not (isinstance(value, tuple) and not value)
    }
    kernel = getattr(layer, "_kernel", None)
    shape = _shape(kernel) if kernel is not None else ()
    if isinstance(layer, keras.layers.Dense) and len(shape) == 2:
        found |= {"in_features": shape[0], "out_features": shape[1]}
    elif len(shape) > 2:
        found |= {"in_channels": shape[-2], "out_channels": shape[-1]}
    return found


def _name_below(variable: Any) -> str:
    """Return the name of a variable in the framework below, which numbers it where a scope is entered again."""
    return str(getattr(getattr(variable, "_value", None), "name", None) or "").partition(":")[0]


def fact_of(variable: Any) -> TensorFact:
    """Return shape and dtype of a variable or tensor of whichever framework is below."""
    shape = None if getattr(variable.shape, "rank", 0) is None else _shape(variable)
    return TensorFact(shape, dtype_word(variable.dtype))


def dtype_word(dtype: Any) -> str:
    """Return a dtype in the words of all frameworks; one that Keras does not know by its own name."""
    try:
        return str(keras.backend.standardize_dtype(dtype))
    except (ValueError, TypeError):
        return str(dtype)


def _shape(tensor: Any) -> Shape:
    return tuple(None if size is None else int(size) for size in tensor.shape)


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value
