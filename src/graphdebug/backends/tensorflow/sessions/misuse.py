"""Errors that TensorFlow raises in Python, before anything runs: at graph build, at feeding and fetching."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import numpy as np

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.attributes import Asked, attributes_of
from graphdebug.backends.tensorflow.facts import array_fact, held_fact, static_fact
from graphdebug.backends.tensorflow.losses import Loss, loss_in_progress, loss_of
from graphdebug.backends.tensorflow.messages import Reading, read_message, unwrapped
from graphdebug.backends.tensorflow.patches import Patches
from graphdebug.backends.tensorflow.sessions.declarations import Declarations
from graphdebug.backends.tensorflow.sessions.mixing import told_apart
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts
from graphdebug.backends.tensorflow.sessions.plan import selected_ops
from graphdebug.backends.tensorflow.sessions.planning import make_plan
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.backends.tensorflow.sessions.variables import variable_of
from graphdebug.backends.tensorflow.vocabulary import Word, word
from graphdebug.model.event import Failure, Operand, TensorFact

__all__ = ["explain_misuse", "watch_building"]

_ERRORS = (ValueError, TypeError, RuntimeError, LookupError, AttributeError)
_BRANCHES = ("x", "y")
"""Where TensorFlow keeps what the two branches of a cond gave, while it compares them."""
_NOTE = "_graphdebug_making"
"""Attribute of an exception, as long as it is on its way to the end of the block."""


class _Making(NamedTuple):
    """An op that was being made, as TensorFlow was asked for it."""

    op_type: str
    name: str
    inputs: dict[str, Any]
    """Inputs and attributes by TensorFlow's names."""
    loss: Loss | None = None
    """The loss of Keras's that was being computed, if its two sides have different shapes."""

    @classmethod
    def read(cls, local: Mapping[str, Any]) -> _Making:
        """Return what the frame of ``_apply_op_helper`` holds: inputs converted so far, then the others."""
        op_def = local.get("op_def")
        names = [argument.name for argument in op_def.input_arg] if op_def is not None else []
        inputs = list(local.get("inputs") or ())
        done = dict(zip(names, inputs, strict=True)) if len(inputs) == len(names) else {"values": inputs}
        name = str(local.get("name") or "").rstrip("/")
        return cls(str(local["op_type_name"]), name, {**done, **(local.get("keywords") or {})})

    @classmethod
    def read_check(cls, frame: FrameType) -> _Making | None:
        """Return the call that a function of TensorFlow's is, if it was given tensors of a graph."""
        code, local = frame.f_code, frame.f_locals
        arguments = {name: local.get(name) for name in code.co_varnames[: code.co_argcount]}
        if code.co_name == "cond" and all(name in local for name in _BRANCHES):
            arguments = {name: local[name] for name in _BRANCHES}
        given = {name: one for name, one in arguments.items() if _is_operand(one) and hasattr(one, "op")}
        return cls("", code.co_name.strip("_"), given) if given else None

    def add_current(self, local: Mapping[str, Any]) -> None:
        """Add the input that was being converted, which TensorFlow has taken from the others already."""
        if "input_name" in local and "values" in local:
            self.inputs.setdefault(local["input_name"], local["values"])

    def constant(self, position: int) -> Any:
        """Return input number `position` as an array if its value is known, else None."""
        from tensorflow.python.framework import tensor_util

        values = list(self.inputs.values())
        value = values[position] if position < len(values) else None
        if hasattr(value, "op"):
            return tensor_util.constant_value(value)
        return np.asarray(value) if isinstance(value, int | list | tuple | np.ndarray) else None


def watch_building(patches: Patches) -> None:
    """Note on each exception of an op in the making which op it was, before TensorFlow drops the frames."""
    from tensorflow.python.util import traceback_utils

    def _process_traceback_frames(trace: Any) -> Any:
        error = sys.exc_info()[1]
        making = _making(trace)
        known = getattr(error, _NOTE, None)
        if (
            error is not None
            and making is not None
            and (known is None or (making.op_type and not known.op_type))
        ):
            setattr(error, _NOTE, making._replace(loss=loss_in_progress()))
        return process(trace)

    process = patches.put(traceback_utils, "_process_traceback_frames", _process_traceback_frames)
    _watch_gradients(patches)


_UNREACHED: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()
"""By graph, the tensor whose gradients were last asked for and reached none of the sources."""


def _watch_gradients(patches: Patches) -> None:
    """Keep the target of gradients that reach nothing: the error that follows does not hold it."""
    from tensorflow.python.ops import gradients_util

    def _GradientsHelper(ys: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 -- it is TensorFlow's
        found = helper(ys, *args, **kwargs)
        target = next((one for one in _flat([ys]) if hasattr(one, "op")), None)
        if target is not None and found and all(one is None for one in found):
            _UNREACHED[target.graph] = weakref.ref(target)
        return found

    file = gradients_util.__file__
    _GradientsHelper.__code__ = _GradientsHelper.__code__.replace(co_filename=file)
    helper = patches.put(gradients_util, "_GradientsHelper", _GradientsHelper)


def _making(trace: TracebackType | None) -> _Making | None:
    """Return the op that was being made, by the innermost frames of a traceback that make one.

    Where TensorFlow's Python code refused the operands before that, it is the function that did.
    """
    found = checking = None
    while trace is not None:
        frame = trace.tb_frame
        if _is_in(frame, "framework/op_def_library.py"):
            if frame.f_code.co_name == "_apply_op_helper":
                found = _Making.read(frame.f_locals)
            elif frame.f_code.co_name == "_ExtractInputsAndAttrs" and found is not None:
                found.add_current(frame.f_locals)
        elif found is None and _is_tensorflows(frame):
            checking = _Making.read_check(frame) or checking
        trace = trace.tb_next
    return found or checking


def explain_misuse(error: BaseException, sink: Sink) -> Failure | None:
    """Return what is known of an exception raised while a graph was built or a session called, else None.

    Emits the nodes that lead to the operands of a failing op, as they were built.
    """
    making = getattr(error, _NOTE, None) or _making(unwrapped(error).__traceback__)
    if making is not None and _in_function(making):  # a function's: told by the part that records functions
        loss = making.loss or loss_of(reversed(list(_frames(error))))
        setattr(error, _NOTE, making._replace(loss=loss))
        return None
    if hasattr(error, _NOTE):
        delattr(error, _NOTE)
    if not isinstance(error, _ERRORS):
        return None
    reading = read_message(str(error))
    frames = list(_frames(error))
    if any(_is_in(frame, "client/session.py") for frame in frames):
        return _of_session(error, sink, reading, frames)
    if reading.category == "no_gradient":
        if not any(_is_in(frame, "training/optimizer.py") for frame in frames):
            return None
        return _of_build(error, sink, reading, _Making("", "gradients", _target(frames)))
    if "gradient" in reading.detail:
        making = _gradient(frames) or making
    if making is not None:
        return _of_build(error, sink, reading, making)
    if making is None and reading.category in ("finalized", "other_graph"):
        return _of_build(error, sink, reading, _Making("", "", {}))
    return None


def _target(frames: list[FrameType]) -> dict[str, Any]:
    """Return the loss whose gradients reach no variable: of the call of the optimizer, else the last such."""
    for frame in frames:
        if frame.f_code.co_name == "minimize" and hasattr(frame.f_locals.get("loss"), "op"):
            return {"loss": frame.f_locals["loss"]}
    held = [frame.f_locals.get("grads_and_vars") for frame in frames]
    variables = [pair[1] for pairs in held for pair in pairs or () if isinstance(pair, list | tuple)]
    graph = next((one.graph for one in variables if hasattr(one, "graph")), None)
    kept = _UNREACHED.get(graph) if graph is not None else None
    target = kept() if kept is not None else None
    return {"loss": target} if target is not None else {}


def _gradient(frames: list[FrameType]) -> _Making | None:
    """Return the gradient that was refused and the tensor it belongs to, from the frame that builds it."""
    for frame in reversed(frames):
        made, of = frame.f_locals.get("in_grad"), frame.f_locals.get("t_in")
        if hasattr(made, "op") and hasattr(of, "op"):
            return _Making("", "gradients", {"gradient": made, "input": of})
    return None


def _frames(error: BaseException) -> Iterator[FrameType]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _is_in(frame: FrameType, ending: str) -> bool:
    return frame.f_code.co_filename.replace("\\", "/").endswith(f"tensorflow/python/{ending}")


def _is_tensorflows(frame: FrameType) -> bool:
    return "/tensorflow/python/" in frame.f_code.co_filename.replace("\\", "/")


def _in_function(making: _Making) -> bool:
    graphs = [one.graph for one in _flat(making.inputs.values()) if hasattr(one, "op")]
    return any(graph.building_function for graph in graphs)


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _of_session(error: BaseException, sink: Sink, reading: Reading, frames: list[FrameType]) -> Failure:
    """Return the failure of a call of `Session.run` that Python refused."""
    operands: tuple[Operand, ...] = ()
    tensor = next(
        (frame.f_locals["subfeed_t"] for frame in reversed(frames) if "subfeed_t" in frame.f_locals), None
    )
    if reading.category == "feed_shape" and tensor is not None:
        others = (op for op in tensor.graph.get_operations() if op.type == tensor.op.type)
        Declarations(sink).tell(list(others))  # those of one line are told apart by their order
        given = next(frame.f_locals["np_val"] for frame in reversed(frames) if "np_val" in frame.f_locals)
        operands = (
            Operand(array_fact(np.asarray(given), "shapes"), "feed", name=tensor.name, role="input"),
            Operand(static_fact(tensor), "constant", name=tensor.op.name, role="state"),
        )
    elif reading.category == "tensor_fed":
        operands, reading = _fed_tensor(sink, reading, frames)
    elif reading.category == "other_graph":
        reading = Reading(reading.category, told_apart(sink, reading, _of_two_graphs(frames)))
    where = sink.sites.of_error(error)
    called = next((frame.f_code.co_name for frame in frames if _is_in(frame, "client/session.py")), "run")
    return Failure(
        sink.next_seq(), sink.step, _qualified(error), str(error), _argument(reading), reading.detail,
        framework="tensorflow", mode="session", op="Session.run", family="control",
        function="Session" if called == "__init__" else "run",
        name=reading.detail.get("placeholder", ""), site=where[-1] if where else None,
        run_site=where[-1] if where else None, frames=where, operands=operands,
    )  # fmt: skip


def _of_two_graphs(frames: list[FrameType]) -> dict[str, Any]:
    """Return the graph of the session that was called, and what it was asked for or fed, by their roles."""
    ours = [frame for frame in frames if _is_in(frame, "client/session.py")]
    graph = next(frame.f_locals["self"].graph for frame in ours if hasattr(frame.f_locals.get("self"), "graph"))
    asked = (frame.f_locals.get(name) for frame in reversed(ours) for name in ("subfeed", "fetch", "fetches"))
    foreign = (one for many in asked for one in _flat([many]) if getattr(one, "graph", graph) is not graph)
    found = next(foreign, None)
    return {"session": graph} | ({"asked": found} if found is not None else {})


def _argument(reading: Reading) -> str:
    """Return the category; what Python refused and no rule knows is about what a call was given."""
    return "argument" if reading.category == "other" else reading.category


def _fed_tensor(sink: Sink, reading: Reading, frames: list[FrameType]) -> tuple[tuple[Operand, ...], Reading]:
    """Return the tensor that was fed as an operand, and the placeholder's name as a detail."""
    local = next((frame.f_locals for frame in reversed(frames) if "subfeed_val" in frame.f_locals), {})
    fed, placeholder = local.get("subfeed_val"), local.get("subfeed")
    if placeholder is None or not hasattr(fed, "op") or not hasattr(placeholder, "op"):
        return (), reading
    seqs = _emit_origins(sink, [fed, placeholder])
    return (_operand(fed, "input", seqs),), Reading(reading.category, {"placeholder": placeholder.name})


def _of_build(error: BaseException, sink: Sink, reading: Reading, making: _Making) -> Failure:
    """Return the failure of an op that could not be built, after the nodes that lead to its inputs."""
    meaning = word(making.op_type or making.name.title().replace("_", ""))
    if meaning.family == "other" and not making.op_type:
        meaning = Word(making.name, "other")
    named = [(key, one) for key, value in making.inputs.items() for one in _flat([value]) if _is_operand(one)]
    seqs = _emit_origins(sink, [one for _, one in named if hasattr(one, "op")])
    operands = tuple(
        _operand(one, (making.op_type and meaning.role(position)) or key, seqs)
        for position, (key, one) in enumerate(named)
    )
    where = sink.sites.of_error(error)
    asked = Asked(making.inputs.get, making.constant, operands)
    detail = reading.detail
    if reading.category == "other_graph":
        detail = told_apart(sink, reading, {role or str(at): one for at, (role, one) in enumerate(named)})
    return Failure(
        sink.next_seq(), sink.step, _qualified(error), str(error), _argument(reading), detail,
        framework="tensorflow", mode="session", phase="build", op=making.op_type, function=meaning.function,
        family=meaning.family, name=making.name, site=where[-1] if where else None,
        frames=where, operands=operands, attributes=attributes_of(making.op_type, asked),
    )  # fmt: skip


def _emit_origins(sink: Sink, tensors: list[Any]) -> dict[Any, int]:
    """Emit the nodes that lead to `tensors`, with static shapes; return their numbers by op."""
    graphs = {id(tensor.graph): tensor.graph for tensor in tensors}
    found: dict[Any, int] = {}
    for graph in graphs.values():
        found |= _emit_graph(sink, graph, [tensor for tensor in tensors if tensor.graph is graph])
    return found


def _emit_graph(sink: Sink, graph: Any, tensors: list[Any]) -> dict[Any, int]:
    ops = selected_ops([tensor.op for tensor in tensors], ())
    feeds = [op.outputs[0] for op in ops if op.type.startswith("Placeholder")]
    plan = make_plan(graph, tensors, (), feeds, sink.sites)
    Declarations(sink).tell([node.op for node in plan.nodes], feeds)
    for node in plan.nodes:
        node.phase = "build"
    count = len(plan.nodes)
    probed = Probed(plan, "shapes", ["inferred"] * count, [True] * count, {})
    facts = RunFacts(probed, {}, {}, {})
    writer = NodeWriter(sink, facts, None, 0)
    for node in plan.nodes:
        writer.add(node, "inferred")
    sink.emit(writer.events)
    return {plan.nodes[position].op: seq for position, seq in facts.seqs.items()}


def _operand(value: Any, role: str, seqs: Mapping[Any, int]) -> Operand:
    if not hasattr(value, "op"):
        variable = getattr(value, "name", "").partition(":")[0] if hasattr(value, "initializer") else ""
        return Operand(_fact_of_value(value), "variable" if variable else "argument", name=variable, role=role)
    variable = variable_of(value)
    if variable:
        return Operand(held_fact(value), "variable", name=variable, role=role)
    kind = value.op.type
    if kind.startswith("Placeholder"):
        return Operand(static_fact(value), "feed", name=value.name, role=role)
    if kind == "Const":
        return Operand(static_fact(value), "constant", name=value.op.name, role=role)
    return Operand(static_fact(value), "node", seqs.get(value.op), value.value_index, role=role)


def _is_operand(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, type)


def _fact_of_value(value: Any) -> TensorFact:
    try:
        return array_fact(np.asarray(value), "shapes")
    except (TypeError, ValueError, NotImplementedError):
        return TensorFact(None, str(getattr(value, "dtype", "")))


def _qualified(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
