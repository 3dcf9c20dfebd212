"""The placeholders, variables and constants of a graph, with the lines that made them; each reported once."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from tensorflow.python.framework import tensor_util

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.facts import dtype_word, shape_of, static_fact
from graphdebug.backends.tensorflow.sites import build_sites
from graphdebug.model.event import Declaration, TensorFact, number

__all__ = ["Declarations"]

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")


class Declarations:
    """What has been declared so far in this recording."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._told: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()

    def tell(self, ops: Sequence[Any], feeds: Sequence[Any] = ()) -> None:
        """Emit a declaration for each placeholder, variable and constant matrix among `ops` and feeds that was
        not told.
        """
        events = []
        for op in [*ops, *(tensor.op for tensor in feeds)]:
            told = self._told.setdefault(op.graph, set())
            if op.name not in told and (op.type in (*_PLACEHOLDERS, *_VARIABLES) or _is_matrix(op)):
                told.add(op.name)
                events.append(self._declaration(op))
        self._sink.emit(events)

    def _declaration(self, op: Any) -> Declaration:
        sites = build_sites(op, self._sink.sites)
        fact = variable_fact(op) if op.type in _VARIABLES else static_fact(op.outputs[0])
        shape = None if fact.shape is None else list(fact.shape)
        return Declaration(
            self._sink.next_seq(),
            op.outputs[0].name if op.type in _PLACEHOLDERS else op.name,
            "Variable" if op.type in _VARIABLES else "Constant" if op.type == "Const" else "Placeholder",
            sites[0] if sites else None,
            "traceback" if sites else "",
            {"shape": shape, "dtype": fact.dtype} | _initial(op) | _trainable(op),
            {"value": fact},
            tuple(sites[1:]),
        )


def _is_matrix(op: Any) -> bool:
    """Whether `op` is a constant with a batch or features: no size, axis or number."""
    return op.type == "Const" and (op.outputs[0].shape.rank or 0) > 1 and op.outputs[0].dtype.is_floating


def variable_fact(op: Any) -> TensorFact:
    """Return the declared shape and dtype of the variable that `op` holds."""
    import tensorflow as tf

    return TensorFact(shape_of(tf.TensorShape(op.get_attr("shape"))), dtype_word(op.get_attr("dtype")))


def _trainable(op: Any) -> dict[str, Any]:
    """Say so of a variable that optimizers train unless they are told otherwise."""
    if op.type not in _VARIABLES:
        return {}
    names = {one.op.name for one in op.graph.get_collection("trainable_variables") if hasattr(one, "op")}
    return {"trainable": True} if op.name in names else {}


def _initial(op: Any) -> dict[str, Any]:
    """Return the number that a variable begins with, where all its elements begin with one."""
    assigns = [one for one in op.outputs[0].consumers() if one.name == f"{op.name}/Assign"]
    if op.type not in _VARIABLES or not assigns or len(assigns[0].inputs) < 2:
        return {}
    value = assigns[0].inputs[1]
    if value.op.type not in ("Const", "Fill", "Identity") or not value.dtype.is_floating:
        return {}
    array = tensor_util.constant_value(value)
    same = array is not None and array.size and array.min() == array.max()
    return {"initial": number(float(array.flat[0]))} if same else {}
