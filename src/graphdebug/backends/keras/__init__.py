"""The Keras backend: layers with their lines, and optimizers; the framework below Keras records the ops."""

from __future__ import annotations

import functools
import inspect
import weakref
from typing import Any

import keras
from keras.src.layers import layer as layer_module
from keras.src.ops import node as node_module
from keras.src.optimizers import base_optimizer

from graphdebug.backends.keras.failures import failure_of
from graphdebug.backends.keras.graph import Graph
from graphdebug.backends.keras.layers import Layers
from graphdebug.backends.keras.training import METHODS, Training
from graphdebug.backends.protocol import Attachment, Sink
from graphdebug.model.event import Declaration, Failure
from graphdebug.options import Options

__all__ = ["attach"]


def attach(sink: Sink, options: Options) -> Attachment:
    """Watch layers being made and called, and optimizers being applied, from now on."""
    del options  # layers are few: they are told at every level
    return _Keras(sink)


class _Keras:
    """Keras, watched."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._layers = Layers(sink)
        self._graph = Graph(sink, self._layers)
        self._training = Training(sink)
        self._saved: list[tuple[type, str, Any]] = []
        self._wrap_layers()
        self._wrap_nodes()
        self._wrap_training()
        self._wrap_optimizers()

    def drain(self) -> None:
        """Nothing is held back."""

    def failure(self, error: BaseException) -> Failure | None:
        """Return what is known of an exception that Keras itself raised."""
        return failure_of(self._sink, self._layers, self._graph, error)

    def detach(self) -> None:
        """Put Keras's own methods back."""
        while self._saved:
            owner, name, before = self._saved.pop()
            setattr(owner, name, before)

    def _put(self, owner: type, name: str, function: Any, file: str) -> None:
        """Replace a method. Ours has Keras's file name, since Keras leaves its own frames out of tracebacks."""
        function.__code__ = function.__code__.replace(co_filename=file)
        self._saved.append((owner, name, vars(owner)[name]))
        setattr(owner, name, function)

    def _wrap_layers(self) -> None:
        sink, layers, kind = self._sink, self._layers, keras.layers.Layer
        new, call, weigh = kind.__new__, kind.__call__, kind.add_weight

        def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 -- it is Keras's
            made = new(cls, *args, **kwargs)
            layers.made(made)
            return made

        def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 -- it is Keras's
            outer = sink.module
            sink.module = getattr(self, "path", None) or (f"{outer}/{self.name}" if outer else self.name)
            try:
                return call(self, *args, **kwargs)
            except Exception as error:
                layers.failed(self, args, error)
                raise
            finally:
                sink.module = outer
                layers.called(self)

        def add_weight(self: Any, *args: Any, **kwargs: Any) -> Any:
            made = weigh(self, *args, **kwargs)
            layers.weighed(made)
            return made

        self._put(kind, "add_weight", functools.wraps(weigh)(add_weight), layer_module.__file__)
        self._put(kind, "__new__", __new__, layer_module.__file__)
        self._saved[-1] = (kind, "__new__", staticmethod(new))
        self._put(kind, "__call__", __call__, layer_module.__file__)

    def _wrap_training(self) -> None:
        for kind in {one for one in (keras.Model, *keras.Model.__mro__) if "Trainer" in one.__name__}:
            for name in (*METHODS, "compile"):
                if name in vars(kind) and inspect.isfunction(vars(kind)[name]):
                    self._wrap_method(kind, name)

    def _wrap_method(self, kind: type, name: str) -> None:
        training, method = self._training, vars(kind)[name]

        def called(self: Any, *args: Any, **kwargs: Any) -> Any:
            return training.run(self, method, args, kwargs)

        def compiled(self: Any, *args: Any, **kwargs: Any) -> Any:
            training.compiled(self, method, args, kwargs)
            return method(self, *args, **kwargs)

        wrapper = functools.wraps(method)(compiled if name == "compile" else called)
        self._put(kind, name, wrapper, inspect.getfile(inspect.unwrap(method)))

    def _wrap_nodes(self) -> None:
        graph, kind = self._graph, node_module.Node
        make = kind.__init__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 -- it is Keras's
            make(self, *args, **kwargs)
            graph.joined(self)

        self._put(kind, "__init__", __init__, node_module.__file__)

    def _wrap_optimizers(self) -> None:
        sink, kind = self._sink, base_optimizer.BaseOptimizer
        apply = kind.apply
        ends_steps = keras.backend.backend() != "tensorflow"  # there it is often traced, and not a step yet

        def apply_watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            outer, sink.phase = sink.phase, "optimizer"
            try:
                return apply(self, *args, **kwargs)
            finally:
                sink.phase = outer
                if ends_steps and outer is None:
                    sink.advance_step()

        self._put(kind, "apply", apply_watched, base_optimizer.__file__)
        self._wrap_scaler()

    def _wrap_scaler(self) -> None:
        """An optimizer that scales the loss is told once: it skips steps whose gradients are not finite."""
        sink, told, kind = self._sink, weakref.WeakSet[Any](), keras.optimizers.LossScaleOptimizer
        apply = kind.apply

        def apply_scaled(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self not in told:
                told.add(self)
                sink.emit([Declaration(sink.next_seq(), self.name, "LossScaler")])
            return apply(self, *args, **kwargs)

        self._put(kind, "apply", apply_scaled, inspect.getfile(kind))
