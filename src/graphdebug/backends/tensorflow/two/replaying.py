"""Replaying: what led to a failing op of a function, computed again op by op where that is harmless."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import tensor_util

from graphdebug.backends.tensorflow.two.plan import Entry, Plan, Ref

__all__ = ["Replay"]


class Replay:
    """The tensors of a function that raised, by entry of its plan.

    Args:
        plan: the function's plan.
        arguments: the tensors it was called with.
        kept: outputs of ops that can't be run again (an iterator's batch, random numbers), kept from the run
            that raised.
        variables: values of variables from before, by the number of their argument; others are read now.

    """

    def __init__(
        self, plan: Plan, arguments: Sequence[Any], kept: Mapping[int, Sequence[Any]],
        variables: Mapping[int, Any] | None = None,
    ) -> None:  # fmt: skip
        self._variables = variables or {}
        self._plan = plan
        self._arguments = arguments
        self.tensors: dict[int, Sequence[Any]] = dict(kept)
        self.obstacle = ""
        """Why something could not be computed again; empty where all was."""

    def reach(self, entry: Entry) -> list[Any]:
        """Compute all that `entry` reads and return it, None for what can't be."""
        return [self._value(ref, entry, position) for position, (ref, _) in enumerate(entry.inputs)]

    def everything(self) -> None:
        """Compute all that can be computed without writing a variable."""
        for index, entry in enumerate(self._plan.entries):
            if index not in self.tensors and entry.family != "assign":
                self.tensors[index] = ()
                self.tensors[index] = self._run(entry)

    def _value(self, ref: Ref, reader: Entry, position: int) -> Any:
        source = reader.source.inputs[position]
        if ref.kind == "known":
            value = tensor_util.constant_value(source)
            return None if value is None else tf.constant(value, source.dtype)
        if ref.kind == "argument":
            value = self._arguments[ref.at] if ref.at < len(self._arguments) else None
            if value is not None and value.dtype == tf.resource and source.dtype != tf.resource:
                before = self._variables.get(ref.at)
                return (
                    tf.raw_ops.ReadVariableOp(resource=value, dtype=source.dtype) if before is None else before
                )
            return value
        if ref.at not in self.tensors:
            self.tensors[ref.at] = ()
            self.tensors[ref.at] = self._run(self._plan.entries[ref.at])
        outputs = self.tensors[ref.at]
        return outputs[ref.output] if ref.output < len(outputs) else None

    def _run(self, entry: Entry) -> Sequence[Any]:
        """Run one op eagerly; return nothing where that is not possible."""
        op = entry.source
        if op.op_def.is_stateful or entry.control is not None:
            self.obstacle = self.obstacle or f"{entry.name} ({entry.op}) can't be run again"
            return ()
        inputs = [self._value(ref, entry, position) for position, (ref, _) in enumerate(entry.inputs)]
        if any(one is None for one in inputs):
            return ()
        try:
            result = getattr(tf.raw_ops, entry.op)(**_keywords(op, inputs))
        except Exception as error:
            self.obstacle = self.obstacle or f"{entry.name} ({entry.op}) raised {type(error).__name__}"
            return ()
        return list(result) if isinstance(result, list | tuple) else [result]


def _keywords(op: Any, inputs: Sequence[Any]) -> dict[str, Any]:
    """Return the inputs and attributes of an op as ``tf.raw_ops`` takes them."""
    rest = list(inputs)
    keywords: dict[str, Any] = {}
    inferred = set()
    for argument in op.op_def.input_arg:
        inferred |= {argument.type_attr, argument.number_attr, argument.type_list_attr}
        if argument.number_attr or argument.type_list_attr:
            attr = op.get_attr(argument.number_attr or argument.type_list_attr)
            count = attr if argument.number_attr else len(attr)
            keywords[argument.name], rest = rest[:count], rest[count:]
        else:
            keywords[argument.name] = rest.pop(0)
    for attribute in op.op_def.attr:
        if attribute.name not in inferred:
            keywords[attribute.name] = op.get_attr(attribute.name)
    renamed = _renamed(op.type, tuple(keywords))
    return {renamed.get(name, name): value for name, value in keywords.items()}


@lru_cache(maxsize=1024)
def _renamed(op_type: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return what ``tf.raw_ops`` calls otherwise than the op does: ``axis`` for ``reduction_indices``."""
    parameters = [name for name in inspect.signature(getattr(tf.raw_ops, op_type)).parameters if name != "name"]
    unknown = [name for name in names if name not in parameters]
    return dict(zip(unknown, [name for name in parameters if name not in names], strict=False))
