"""Ops: what recording has to know of each type of eager op, found once a type."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from graphdebug.backends.tensorflow.attributes import has_attributes
from graphdebug.backends.tensorflow.vocabulary import Word, word
from graphdebug.backends.whole import COUNTS
from graphdebug.model.event import Family

__all__ = [
    "ALIASES", "ASKS", "ASSIGNS", "CASTS", "COUNTING", "PLUMBING", "READS", "SLOW", "UNSEEN", "VIEWS",
    "BackwardWords", "Op", "Ops",
]  # fmt: skip

UNSEEN = 1
"""Not a node: a traced function, whose nodes are recorded where it is called."""
SLOW = 2
"""Recorded in Python, also where there is compiled code for it."""
READS = 4
"""Reads a variable."""
VIEWS = 8
"""Its output shares the memory of input 0."""
ASSIGNS = 16
"""Writes a variable."""
ASKS = 32
"""Has attributes."""
PLUMBING = 64
"""Between a variable and the op that uses it: shown as the operand's origin, not as a node."""
COUNTING = 128
"""May leave the range of whole numbers, so that those it is given and gives are measured."""
CASTS = 256
"""Its elements may become whole numbers."""

ALIASES = frozenset({
    "Reshape", "Squeeze", "ExpandDims", "Identity", "StopGradient", "PreventGradient", "Snapshot",
    "EnsureShape",
})  # fmt: skip
"""Types of op whose output shares the memory of input 0."""
_PLUMBING = frozenset({"ReadVariableOp", "VarIsInitializedOp", "NoOp", "VarHandleOp", "DestroyResourceOp"})


class Op(NamedTuple):
    """A type of op."""

    name: str
    traits: int
    """A sum of this module's numbers."""
    function: str
    family: Family
    arguments: tuple[str, ...]
    """Names of the inputs, which are those of the arguments of TensorFlow's generated function."""


class Ops(dict[str | bytes, Op]):
    """The types of op, as TensorFlow names them."""

    def __missing__(self, op_type: str | bytes) -> Op:
        name = op_type.decode() if isinstance(op_type, bytes) else op_type
        words, definition = word(name), op_def_registry.get(name)
        arguments = () if definition is None else tuple(one.name for one in definition.input_arg)
        op = self[op_type] = Op(name, _traits(name, words), words.function, words.family, arguments)
        return op


class BackwardWords(dict[str, str]):
    """What an op is called that is part of the backward of another, by that one's word."""

    def __missing__(self, function: str) -> str:
        backward = self[function] = f"{function.removesuffix('_backward')}_backward"
        return backward


def _traits(name: str, words: Word) -> int:
    # several devices are known once an op has run: where a tensor lies is then read in Python
    several = len(tf.config.list_logical_devices()) > 1
    return (
        UNSEEN * name.startswith("__")
        | PLUMBING * (name in _PLUMBING)
        | SLOW * (several or name == "MakeIterator" or (name in _PLUMBING and name != "ReadVariableOp"))
        | READS * (name == "ReadVariableOp")
        | VIEWS * (name in ALIASES)
        | ASSIGNS * (words.family == "assign")
        | ASKS * has_attributes(name)
        | COUNTING * (words.function in COUNTS)
        | CASTS * (words.function == "cast")
    )
