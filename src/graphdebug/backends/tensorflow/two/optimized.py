"""Optimized: what the runtime makes of a function before it runs it, asked without running it."""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Literal

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.eager import cancellation, context, execute
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.ops import summary_ops_v2

__all__ = ["Optimized", "as_it_is", "ask", "plain_path", "refusal", "unoptimized"]

_asking = threading.Lock()
_asks = itertools.count(1)
_TRIES = 3
"""How often it is asked, since what other threads set up meanwhile may be mixed into the answer."""
_REWRITTEN = "ArithmeticOptimizer"
_REORDERED = frozenset({"Add", "AddV2", "Sub", "Mul", "RealDiv"})
_PASSING = frozenset({"Const", "Identity", "Reshape", "Cast", "ReadVariableOp"})
"""What is passed over where it changes nothing."""
_VERSION = re.compile(r"V\d+$")


def plain_path(name: str) -> str:
    """Return a node's path without the numbers TensorFlow puts in when it inlines: ``while/body/_1/add``."""
    return re.sub(r"/_\d+(?=[/:]|$)", "", name)


class Optimized:
    """The nodes that run for one function, by their paths in it.

    Args:
        graph: the optimized GraphDef; None where it is not known.
        why: why it is not known.
        before: what the runtime has made it of.
        base: the path of what calls the function, which its own paths begin with.

    """

    def __init__(self, graph: Any, why: str = "", before: Any = None, base: str = "") -> None:
        self.graph = graph
        self.why = why
        self.before = before
        nodes = () if graph is None else graph.node
        times = Counter(plain_path(node.name) for node in nodes)
        self._by_path = {
            f"{base}{path}": node for node in nodes if times[path := plain_path(node.name)] == 1
        }  # those that share a path are plumbing of loops
        self._by_name = {node.name: node for node in nodes}
        self._frames: Mapping[str, tuple[str, ...]] = {} if graph is None else _frames(nodes)
        self._rewritten: dict[str, list[str]] = {}
        for path in self._by_path:
            scope, _, leaf = path.rpartition("/")
            if scope.endswith(_REWRITTEN):
                self._rewritten.setdefault(scope.removesuffix(_REWRITTEN).rstrip("/"), []).append(leaf)

    def execution(self, op: Any, prefix: str) -> Literal["executed", "inferred", "fused", "removed"]:
        """Return what became of `op`, whose path is its name behind `prefix`."""
        if self.graph is None:
            return self.without_trace
        path = prefix + op.name
        if path in self._by_path:
            return "fused" if self.result(op, prefix) is None else "executed"
        scope, _, leaf = path.rpartition("/")
        rewritten = any(one.endswith(f"_{leaf}") for one in self._rewritten.get(scope, ()))
        if rewritten or self._stand_in(path) is not None or self._leads_to_fused(op, prefix, 4):
            return "fused"
        return self.without_trace

    @property
    def without_trace(self) -> Literal["inferred", "removed"]:
        """What is said of an op that is not among the nodes."""
        return "inferred" if self.graph is None else "removed"

    def node(self, path: str) -> Any:
        """Return the NodeDef of the op at `path`, None if it is not left."""
        return self._by_path.get(path)

    def result(self, op: Any, prefix: str) -> Any:
        """Return the NodeDef that gives what `op` gives: itself, or what was made of it and those before it."""
        node = self._by_path.get(prefix + op.name)
        if node is None:
            return self._stand_in(prefix + op.name)
        return None if _is_more(node, op) or self._takes_others(node, op, prefix) else node

    def _takes_others(self, node: Any, op: Any, prefix: str) -> bool:
        """Whether a product or sum bears the name of `op`, but is of other numbers: ``(g * 2) * x`` may run as
        ``(x * 2) * g``, and what was ``g * 2`` is ``x * 2`` then.
        """
        given = {_base(one) for one in node.input}
        made = [] if op.type not in _REORDERED else [one.op for one in op.inputs if one.op.type not in _PASSING]
        left = (self._by_path.get(prefix + one.name) for one in made)
        return any(one is not None and one.name not in given for one in left)

    def _stand_in(self, path: str) -> Any:
        scope, _, leaf = path.rpartition("/")
        added = f"{scope}/{_REWRITTEN}/AddOpsRewrite_{leaf}".removeprefix("/")
        return self._by_path.get(f"{path}/unary_ops_composition") or self._by_path.get(added)

    def called(self, tensor: str) -> Any:
        """Return the NodeDef that makes a tensor of the optimized graph."""
        return self._by_name.get(_base(tensor))

    @cached_property
    def functions(self) -> dict[str, Any]:
        """The FunctionDefs of the functions that are called, and of those that they call, by their names."""
        known = {one.signature.name: one for one in self.graph.library.function}
        found: dict[str, Any] = {}
        waiting = [self.graph.node]
        while waiting:
            for name in _called(waiting.pop()):
                if name not in known and "_specialized_for_" in name:
                    known.update(_specialized(self.before, name.rpartition("_at_")[2]))
                if name in known and name not in found:
                    found[name] = known[name]
                    waiting.append(known[name].node_def)
        return found

    def frame(self, node: Any) -> tuple[str, ...]:
        """Return the loops that a node is in, outermost first."""
        return self._frames.get(node.name, ())

    def _leads_to_fused(self, op: Any, prefix: str, hops: int) -> bool:
        consumers = {one.name: one for tensor in op.outputs for one in tensor.consumers()}
        if not hops or len(consumers) != 1:
            return False
        ((name, only),) = consumers.items()
        left = self._by_path.get(prefix + name) or self._stand_in(prefix + name)
        if left is None:
            return self._leads_to_fused(only, prefix, hops - 1)
        return str(left.op).startswith(("_Fused", "_Mkl", "_Unary"))


def _specialized(graph: Any, name: str) -> dict[str, Any]:
    """Return the FunctionDefs that the optimizer makes of functions for one call each: without the inputs that
    are constants there, and without the outputs that nobody reads. The runtime does not show them.

    Args:
        graph: what a function is before it is optimized.
        name: of that function.

    """
    meta, config = meta_graph_pb2.MetaGraphDef(graph_def=graph), config_pb2.ConfigProto()
    results = [node.name for node in graph.node if node.op == "_Retval"]
    meta.collection_def["train_op"].node_list.value.extend(results)
    rewriting = config.graph_options.rewrite_options
    rewriting.optimizers.extend(["pruning", "function"])
    rewriting.min_graph_nodes = -1
    made = tf_optimizer.OptimizeGraph(config, meta, verbose=False, graph_id=name.encode())
    return {one.signature.name: one for one in made.library.function}


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """Yield the names of the functions that nodes call; one that Defun has made is an op by itself."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield from (one.name for one in (*value.list.func, *([value.func] if value.func.name else ())))


def ask(runtime: Any, signature: Any, inputs: Sequence[Any], config: bytes = b"") -> Optimized:
    """Return what the runtime will run for a function.

    The function is called with a cancellation that has already taken place: the runtime places, inlines and
    optimizes it, and finds that it is not to be started.

    Args:
        runtime: TensorFlow's eager context.
        signature: of the function, from its FunctionDef.
        inputs: what it will be called with.
        config: how it will be called (a ConfigProto); empty for how the user's code calls functions.

    """
    if runtime.executor.is_async():
        return Optimized(None, "functions run asynchronously")
    if summary_ops_v2._current_trace_context is not None:  # it would lose to us the graphs that it collects
        return Optimized(None, "tf.summary.trace_on is collecting graphs")
    options = runtime.function_call_options
    proto = config_pb2.ConfigProto.FromString(config or options.config_proto_serialized)
    wanted = sorted(one.name for one in signature.input_arg)
    with _asking:
        for _ in range(_TRIES):
            proto.placement_period = next(_asks)  # means nothing to it, but else it has the function ready
            calling = context.FunctionCallOptions(options.executor_type, proto)
            for one in _collected(runtime, signature, inputs, calling):
                arguments = sorted(node.name for node in one.pre_optimization_graph.node if node.op == "_Arg")
                graph = one.post_optimization_graph
                if arguments == wanted and _is_one(graph, len(signature.output_arg)):
                    return Optimized(graph, before=one.pre_optimization_graph)
    return Optimized(None, "TensorFlow does not show what it makes of the function")


def _collected(runtime: Any, signature: Any, inputs: Sequence[Any], options: Any) -> Any:
    """Return the graphs of functions that are set up while one is called and cancelled before it starts.

    What other threads set up meanwhile is among them, or mixed into one.
    """
    runtime.enable_graph_collection()
    try:
        tf.raw_ops.NoOp()  # what is left of earlier ones comes out with the next op that runs
        runtime.export_run_metadata()
        _call_off(runtime, signature, inputs, options)
    finally:
        tf.raw_ops.NoOp()
        collected = runtime.export_run_metadata().function_graphs
        runtime.disable_graph_collection()
    return collected


def refusal(runtime: Any, signature: Any, inputs: Sequence[Any]) -> tf.errors.OpError | None:
    """Return the error if a function can't be set up to be run as it is, None if it can; it is not run.

    Args:
        runtime: TensorFlow's eager context.
        signature: of the function, from its FunctionDef.
        inputs: what it will be called with.

    """
    with _asking:
        return _call_off(runtime, signature, inputs, as_it_is(runtime))


def _call_off(
    runtime: Any, signature: Any, inputs: Sequence[Any], options: context.FunctionCallOptions
) -> tf.errors.OpError | None:
    """Call a function that is cancelled before it starts; return the error if it can't be set up."""
    cancelled = cancellation.CancellationManager()
    cancelled.start_cancel()
    attrs = tuple(one for item in options.as_attrs().items() for one in item)
    count = len(signature.output_arg)
    try:
        execute.execute_with_cancellation(signature.name, count, list(inputs), attrs, runtime, cancelled)
    except tf.errors.CancelledError:
        return None
    except tf.errors.OpError as error:
        return error
    return None


def as_it_is(runtime: Any) -> Any:
    """Return the options of a call that is not optimized, like those of one that is."""
    options = runtime.function_call_options
    return _unoptimized(options.executor_type, options.config_proto_serialized)


@lru_cache(maxsize=16)
def _unoptimized(executor: str | None, config: bytes) -> Any:
    return context.FunctionCallOptions(executor, config_pb2.ConfigProto.FromString(unoptimized(config)))


def unoptimized(config: bytes) -> bytes:
    """Return a ConfigProto with which nothing is optimized."""
    proto = config_pb2.ConfigProto.FromString(config)
    proto.graph_options.rewrite_options.disable_meta_optimizer = True
    return bytes(proto.SerializeToString())


def _is_one(graph: Any, results: int) -> bool:
    """Whether a graph is that of one function: TensorFlow mixes those that are set up at the same time."""
    numbers = sorted(node.attr["index"].i for node in graph.node if node.op == "_Retval")
    names = {node.name for node in graph.node}
    return numbers == list(range(results)) and len(names) == len(graph.node)


def _is_more(node: Any, op: Any) -> bool:
    """Whether a fused node that bears the name of `op` does what comes after it as well: bias, activation."""
    return bool(node.op != op.type and node.op.startswith("_") and _VERSION.sub("", op.type) in node.op)


def _frames(nodes: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    """Return the loops that each node is in, by its name."""
    by_name = {node.name: node for node in nodes}
    readers: dict[str, list[str]] = {}
    for node in nodes:
        for source in {_base(one) for one in node.input}:
            readers.setdefault(source, []).append(node.name)
    found: dict[str, tuple[str, ...]] = {node.name: () for node in nodes if not node.input}
    waiting = list(found)
    while waiting:
        name = waiting.pop()
        node, frame = by_name[name], found[name]
        inside = frame[:-1] if node.op == "Exit" else frame
        for reader in readers.get(name, ()):
            if reader not in found:
                into = by_name[reader]
                entered = (into.attr["frame_name"].s.decode(),) if into.op in ("Enter", "RefEnter") else ()
                found[reader] = inside + entered
                waiting.append(reader)
    return found


def _base(name: str) -> str:
    """Return the node that an input of a NodeDef comes from."""
    return name.removeprefix("^").partition(":")[0]
