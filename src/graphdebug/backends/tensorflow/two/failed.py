"""Failed calls: an op that failed and what it was given, read off the frames of TensorFlow's own functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from graphdebug.backends.tensorflow.attributes import Asked, attributes_of
from graphdebug.backends.tensorflow.facts import static_fact
from graphdebug.backends.tensorflow.losses import Loss
from graphdebug.backends.tensorflow.two.ledger import Made
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.model.event import Operand, Phase, Site, TensorFact

__all__ = ["FailedCall", "eager_call", "is_tensor", "made_of", "op_types", "tensors_in"]


class FailedCall(NamedTuple):
    """A failing op and what it was given."""

    op: str
    operands: Sequence[Operand]
    attributes: Mapping[str, Any]
    mode: str
    phase: Phase
    forward: int | None = None
    name: str = ""
    module: str = ""
    sites: Sequence[Site] = ()
    node: int | None = None
    message: str = ""
    """The runtime's own words, where TensorFlow wraps them in the stack of the failing node."""
    tensors: Sequence[Any] = ()
    """What the operands are, in the same order; empty where they are not at hand."""
    loss: str = ""
    """The loss of Keras's that the op is a part of, where it was to join prediction and target."""

    def within(self, loss: Loss | None) -> FailedCall:
        """Return this call as `loss`, if it was to join the loss's prediction and target."""
        operands = loss.operands(self.operands) if loss is not None else []
        if loss is None or not operands:
            return self
        return self._replace(operands=operands, tensors=(), loss=loss.function)


def eager_call(observer: Observer, frame: FrameType | None) -> FailedCall | None:
    """Read the failing op off the frames of TensorFlow's own functions, which hold its operands."""
    op_type, tensors, attrs = "", [], {}
    for _ in range(4):
        if frame is None:
            return None
        values = frame.f_locals
        if "op_name" in values and "inputs" in values and "attrs" in values:  # the general way
            name = values["op_name"]
            op_type = name.decode() if isinstance(name, bytes) else str(name)
            tensors = list(values["inputs"])
            pairs = values["attrs"] or ()
            attrs = dict(zip(pairs[::2], pairs[1::2], strict=False))
            break
        found = _generated(frame)
        if found is not None:  # the fast way: a generated function, its arguments are the operands
            op_type, tensors, attrs = found
            break
        frame = frame.f_back
    if not op_type or op_type.startswith("__"):
        return None
    named, operands = word(op_type), []
    for index, value in enumerate(tensors):
        operands.append(made_of(observer, value).operand(named.role(index)))
    state = observer.ledger.state
    asked = Asked(attrs.get, lambda index: _constant(tensors, index), operands)
    return FailedCall(
        op_type, operands, attributes_of(op_type, asked), "eager", observer.phase("other"), state.forward,
        tensors=tensors,
    )  # fmt: skip


def _generated(frame: FrameType) -> tuple[str, list[Any], dict[str, Any]] | None:
    """Return op type, operands and attributes of a frame of ``tensorflow/python/ops/gen_*_ops.py``."""
    if "gen_" not in frame.f_code.co_filename or "_ops.py" not in frame.f_code.co_filename:
        return None
    called = frame.f_code.co_name.replace("_", "").lower()
    op_type = next((one for one in op_types() if one.lower() == called), "")
    if not op_type:
        return None
    definition = op_types()[op_type]
    attrs, code = [attr.name for attr in definition.attr], frame.f_code
    # the function may call an input by another name than the op does, in the same place
    names = [one for one in code.co_varnames[: code.co_argcount] if one not in (*attrs, "name")]
    names = names[: len(definition.input_arg)]
    values = frame.f_locals
    tensors = [value for name in names for value in _listed(values.get(name))]
    return op_type, tensors, {name: values.get(name) for name in attrs}


_definitions: dict[str, Any] = {}


def op_types() -> dict[str, Any]:
    """Return the definitions of all ops, by type."""
    if not _definitions:
        from tensorflow.python.framework import op_def_registry

        for name in dir(tf.raw_ops):
            if name[:1].isupper():
                definition = op_def_registry.get(name)
                if definition is not None:
                    _definitions[name] = definition
    return _definitions


def _listed(value: Any) -> list[Any]:
    several = isinstance(value, list | tuple) and any(tf.is_tensor(one) for one in value)
    return list(value) if several else [value]


def made_of(observer: Observer, value: Any) -> Made:
    """Return where a value that an op was given came from: a tensor, a variable, a number of the user's."""
    return observer.made(value) if hasattr(value, "_numpy_internal") else _plain(observer, value)


def _plain(observer: Observer, value: Any) -> Made:
    """A variable, or a plain number or list of the user's."""
    handle = getattr(value, "handle", None)
    if handle is not None and hasattr(handle, "_numpy_internal"):
        observer.ledger.variables.setdefault(handle._id, observer.ledger.name_of(value))
        return observer.made(handle)
    return Made(_fact(value), "unknown" if hasattr(value, "op") else "constant")


def _fact(value: Any) -> TensorFact:
    if hasattr(value, "op"):
        return static_fact(value)
    if value is None:
        return _NO_FACT
    array = np.asarray(value)
    return TensorFact(tuple(array.shape), array.dtype.name)


_NO_FACT = TensorFact(None, "")


def _constant(tensors: Sequence[Any], index: int) -> Any:
    if index >= len(tensors):
        return None
    value = tensors[index]
    if value is None:
        return None
    return value.numpy() if hasattr(value, "_numpy_internal") else np.asarray(value)


def tensors_in(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the tensors among the keywords an op was made with; plain values are its attributes."""
    for name, value in inputs.items():
        for one in value if isinstance(value, list | tuple) else (value,):
            if is_tensor(one):
                yield name, one


def is_tensor(value: Any) -> bool:
    """Whether a value is an array, a tensor or a variable."""
    if isinstance(value, np.ndarray):
        return True
    return any(hasattr(value, name) for name in ("op", "_numpy_internal", "handle"))
