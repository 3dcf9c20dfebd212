"""Inside: functions that are called without being inlined, looked into by copies that are called instead.

The runtime sets such a function up, and optimizes it, when the call of it runs. Here it is asked for that
beforehand, as for the function that calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

from graphdebug.backends.tensorflow.two.copying import Copy
from graphdebug.backends.tensorflow.two.looking import Looking, looking_at_nothing
from graphdebug.backends.tensorflow.two.optimized import Optimized, ask, refusal, unoptimized
from graphdebug.backends.tensorflow.two.plan import COPY, numbers
from graphdebug.backends.tensorflow.two.summaries import Summaries
from graphdebug.model.event import Level

__all__ = ["CALLS", "Inside"]

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
"""Ops that call a function."""

_HIDDEN = "it is called without being inlined, and TensorFlow does not show what it makes of it"
_DRAWS = "it is called without being inlined and draws random numbers in a loop"


class Inside:
    """The functions that one function calls without inlining them, and those that they call.

    Args:
        runtime: TensorFlow's eager context.
        level: how much is recorded.
        added: the names of all that is added to the runtime go there.

    """

    def __init__(self, runtime: Any, level: Level, added: list[str]) -> None:
        self._runtime = runtime
        self._level = level
        self._added = added
        self._asked: dict[tuple[str, bytes], tuple[Any, Optimized]] = {}
        self._copies: dict[bytes, str] = {}

    def add_missing(self, optimized: Optimized) -> None:
        """Let the runtime know all functions that are called in what it has made of one."""
        for name, definition in optimized.functions.items():
            if not self._runtime.has_function(name):
                self._runtime.add_function_def(definition)
                self._added.append(name)

    def is_call(self, node: Any) -> bool:
        """Whether a node that runs calls a function, be it one that Defun has made."""
        return node.op in CALLS or self._runtime.has_function(node.op)

    def looking(self, node: Any, outer: Looking, base: str, *, draws: bool) -> Looking:
        """Return what looks at the ops of the function that `node` calls.

        Args:
            node: one that runs.
            outer: what looks at the function that the node is in.
            base: what the paths of its ops begin with.
            draws: whether it draws random numbers by a seed.

        """
        key = _called(node), node.attr["config_proto"].s
        if key not in self._asked:
            self._asked[key] = self._ask(node)
        definition, known = self._asked[key]
        if known.graph is None:
            return looking_at_nothing(known.why)
        summaries = None
        if outer.summaries is not None and outer.optimized.frame(node) == outer.summaries.frame:
            summaries = Summaries(Copy(definition, known), self._level)
        optimized = Optimized(known.graph, before=known.before, base=base)
        return Looking(optimized, summaries, self._level, alike=draws)

    def call_instead(self, node: Any, outer: Looking, inner: Looking) -> str:
        """Let `node` call the function with looking added; return why it can't be, empty if it is.

        One function that is called from several places stays one: its random numbers go on from call to call.
        """
        summaries, around = inner.summaries, outer.summaries
        if summaries is None or around is None:
            return ""
        packed, copy = summaries.pack(), summaries.copy
        if not any(packed) and not copy.keeps:
            return ""
        if inner.alike and copy.keeps:
            return _DRAWS
        copy.hand_out(*packed)
        copy.definition.attr["_noinline"].b = True
        name, refused = self._register(copy)
        if refused is not None:
            return f"TensorFlow can't set it up with looking added: {refused}"
        dtypes = [dtype for one, dtype in zip(packed, (tf.float32, tf.int64), strict=True) if one]
        given = iter(around.copy.call_instead(node, name, dtypes, unoptimized(node.attr["config_proto"].s)))
        around.nest(*(next(given) if one else "" for one in packed))
        return ""

    def _register(self, copy: Copy) -> tuple[str, str | None]:
        """Make a copy known to the runtime if none like it is; return its name, or why it can't be."""
        definition = copy.definition
        key = definition.SerializeToString(deterministic=True)
        if key in self._copies:
            return self._copies[key], None
        name = f"{definition.signature.name}{COPY}{next(numbers)}"
        copy.register(self._runtime, name)
        error = refusal(self._runtime, definition.signature, _stand_ins(definition.signature))
        if error is not None:
            self._runtime.remove_function(name)
            return name, str(error.message).partition("\n")[0][:120]
        self._added.append(name)
        self._copies[key] = name
        return name, None

    def _ask(self, node: Any) -> tuple[Any, Optimized]:
        """Return the definition of the function that `node` calls, and what runs for it."""
        name = _called(node)
        if not self._runtime.has_function(name):
            return None, Optimized(None, _HIDDEN)
        definition = self._runtime.get_function_def(name)
        signature = definition.signature
        if name == node.op:
            return definition, _as_it_is(definition)
        known = ask(self._runtime, signature, _stand_ins(signature), node.attr["config_proto"].s)
        if known.graph is None:
            return None, Optimized(None, _HIDDEN)
        self.add_missing(known)
        return definition, known


def _called(node: Any) -> str:
    """Return the function that a node calls; one that Defun has made is its op."""
    return str(node.attr["f"].func.name or node.op)


def _as_it_is(definition: Any) -> Optimized:
    """Return what runs for a function that Defun has made: its own ops, which nobody optimizes."""
    nodes = definition.node_def
    calls = any(value.HasField("func") or value.list.func for node in nodes for value in node.attr.values())
    if calls or any(op_def_registry.get(node.op) is None for node in nodes):
        return Optimized(None, "it was made by Defun and calls others")
    graph, names = function_def_to_graph_def(definition)
    for index, argument in enumerate(definition.signature.input_arg):
        node = next(node for node in graph.node if node.name == argument.name)
        node.op = "_Arg"
        node.attr["index"].i = index
    for index, result in enumerate(definition.signature.output_arg):
        node = graph.node.add(name=f"{result.name}_RetVal", op="_Retval")
        node.input.append(names[definition.ret[result.name]])
        node.attr["index"].i = index
    return Optimized(graph, before=graph)


def _stand_ins(signature: op_def_pb2.OpDef) -> Sequence[Any]:
    """Return tensors to set a function up with, which is not run: of what it is given, types alone matter.

    Of variables nothing is known either where a function is called by another.
    """
    return [_stand_in(tf.as_dtype(argument.type)) for argument in signature.input_arg]


def _stand_in(dtype: tf.DType) -> Any:
    if dtype == tf.resource:
        return tf.raw_ops.DummyIterationCounter()
    if dtype == tf.variant:
        return tf.raw_ops.EmptyTensorList(element_shape=-1, max_num_elements=0, element_dtype=tf.float32)
    return tf.constant("") if dtype == tf.string else tf.zeros([], dtype)
