"""The operands of a failing call: of the op that raised, else those that torch's or the user's frames hold."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from types import FrameType
from typing import Any, NamedTuple

import msgspec
import torch
from torch import nn

from graphdebug.backends.torch.code.callsite import CallSite
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.nodes.attributes import attributes_of, function_of
from graphdebug.backends.torch.nodes.facts import kind_of
from graphdebug.backends.torch.nodes.ops import words_of
from graphdebug.backends.torch.nodes.records import Raw, call_of, operands_of
from graphdebug.model.event import Family, Operand

__all__ = ["Operation", "operand_of_value", "operation", "tensors_in"]

_OPERATORS = {
    "add": "add", "sub": "sub", "mult": "mul", "div": "div", "matmult": "matmul", "pow": "pow",
    "mod": "remainder", "floordiv": "floor_divide", "[]": "gather", "compare": "eq",
    "bitand": "bitwise_and", "bitor": "bitwise_or",
}  # fmt: skip
_ROLES = {
    "0": "input", "1": "b", "target": "labels", "query": "input", "indices": "index", "self": "input",
    "running_mean": "state", "running_var": "state",
}  # fmt: skip
_OWN_ROLES = ("input", "weight", "bias", "index", "labels")
_MOST_PARAMETERS = 8


class Operation(NamedTuple):
    """A failing call in the log's words, and the tensors its operands are (None where gone)."""

    op: str = ""
    function: str = ""
    family: Family = "other"
    operands: tuple[Operand, ...] = ()
    attributes: dict[str, Any] = {}  # noqa: RUF012  # never written
    tensors: tuple[Any, ...] = ()


def operation(
    recorder: EagerRecorder, raw: Raw | None, inner: Sequence[FrameType], call: CallSite | None
) -> Operation:
    """Return the operation that failed.

    Args:
        recorder: the recorder, which knows where tensors come from.
        raw: the record of the op that raised, if dispatch saw it.
        inner: the frames below the user's, which are torch's own.
        call: the user's failing call.

    """
    if raw is not None:
        return _of_raw(recorder, raw, call)
    functional = next((one for one in reversed(inner) if _is_functional(one)), None)
    if functional is not None:
        function, family = words_of(functional.f_code.co_name)
        return _of_values(recorder, function, family, _arguments(functional), call)
    module = next((one for one in reversed(inner) if _module_of(one) is not None), None)
    if module is not None and _module_of(module) is not None:
        return _of_module(recorder, _module_of(module), _arguments(module), call)
    if call is None:
        return Operation()
    function, family = words_of(_OPERATORS.get(call.name, call.name))
    values = [(one.keyword or str(i), one.value) for i, one in enumerate(call.arguments)]
    if inner and not any(tensors_in(value) for _, value in values):  # made within the call's own expression
        values = _arguments(inner[0])
    return _of_values(recorder, function, family, values, call)


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Return the tensors that an argument is or holds."""
    if isinstance(value, torch.Tensor):
        return [value]
    if type(value) in (list, tuple):
        return [one for one in value if isinstance(one, torch.Tensor)]
    return []


def _of_raw(recorder: EagerRecorder, raw: Raw, call: CallSite | None) -> Operation:
    made = call_of(raw)
    known = operands_of(raw)
    operands = [_expressed(operand, tensor, call) for operand, tensor in known]
    attributes = attributes_of(made)
    tensors = [tensor for _, tensor in known]
    if raw.op.family == "linear" and raw.op.name != "aten::linear":
        for index, operand in enumerate(operands):
            parameter = recorder.modules.parameter(operand.name) if operand.role == "weight" else None
            if parameter is not None and parameter.dim() == 2:
                # torch multiplies by a transposed view: name the parameter as it was declared
                fact = kind_of(parameter).fact
                operands[index] = msgspec.structs.replace(operand, fact=fact)
                tensors[index] = parameter
                attributes["weight_layout"] = "OI"
    if len(operands) == 1 and not operands[0].expression and call is not None and len(call.arguments) == 1:
        (only,) = call.arguments
        if not isinstance(only.value, int | float | str):  # an axis, a size: the tensor is what it is called of
            operands[0] = msgspec.structs.replace(operands[0], expression=only.text)
    return Operation(raw.op.name, function_of(made), raw.op.family, tuple(operands), attributes, tuple(tensors))


def _of_module(
    recorder: EagerRecorder, module: Any, values: list[tuple[str, Any]], call: CallSite | None
) -> Operation:
    function, family = _words_of_class(type(module).__name__)
    held = [(name, value) for name, value in module._parameters.items() if value is not None]
    return _of_values(recorder, function, family, values + held[:_MOST_PARAMETERS], call)


def _words_of_class(name: str) -> tuple[str, Family]:
    """Return function and family of a layer by its class: ``BatchNorm2d``, ``ConvTranspose2d``."""
    function, family = words_of(name.lower())
    if family != "other":
        return function, family
    return words_of(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def _of_values(
    recorder: EagerRecorder, function: str, family: Family, values: list[tuple[str, Any]], call: CallSite | None
) -> Operation:
    found = [(name, tensor) for name, value in values for tensor in tensors_in(value)]
    operands = [_expressed(_operand(recorder, name, family, one), one, call) for name, one in found]
    equation = next((value for _, value in values if function == "einsum" and isinstance(value, str)), None)
    attributes = {} if equation is None else {"equation": equation}
    tensors = tuple(tensor for _, tensor in found)
    return Operation(f"torch::{function}", function, family, tuple(operands), attributes, tensors)


def _operand(recorder: EagerRecorder, name: str, family: str, tensor: torch.Tensor) -> Operand:
    role = _ROLES.get(name, name if name in _OWN_ROLES else "")
    if name == "0" and family in ("elementwise", "matmul"):
        role = "a"
    trace = recorder.origins.get(tensor)
    fact = kind_of(tensor).fact
    if trace is not None:
        origin, named = trace[6] or ("node", "")
        return Operand(fact, origin, trace[2], trace[3], named, role)
    found = recorder.modules.name_of(tensor)
    if found is not None:
        return Operand(fact, found[0], None, 0, found[1], role)
    return Operand(fact, "argument", None, 0, "", role)


def operand_of_value(recorder: EagerRecorder, tensor: torch.Tensor, expression: str) -> Operand:
    """Return a tensor that no op was given as an operand, under the user's text for it."""
    return msgspec.structs.replace(_operand(recorder, "", "other", tensor), expression=expression)


def _expressed(operand: Operand, tensor: Any, call: CallSite | None) -> Operand:
    """Return `operand` with the user's source text for it."""
    if call is None or tensor is None:
        return operand
    argument = next((one for one in call.arguments if one.value is tensor), None)
    if argument is None:
        argument = next(
            (one for one in call.arguments if any(t is tensor for t in tensors_in(one.value))), None
        )
    return operand if argument is None else msgspec.structs.replace(operand, expression=argument.text)


def _arguments(frame: FrameType) -> list[tuple[str, Any]]:
    """The arguments of a running function by name, those of ``*args`` by number."""
    info = inspect.getargvalues(frame)
    found = [(name, info.locals.get(name)) for name in info.args]
    rest = info.locals.get(info.varargs, ()) if info.varargs else ()
    flat = [one for value in rest for one in (value if isinstance(value, list | tuple) else (value,))]
    words = [one for one in flat if not isinstance(one, torch.Tensor)]
    tensors = [one for one in flat if isinstance(one, torch.Tensor)]
    return [*found, *(("", one) for one in words), *((str(i), one) for i, one in enumerate(tensors))]


def _is_functional(frame: FrameType) -> bool:
    name = frame.f_code.co_name
    if name == "broadcast_tensors" or name.startswith("_"):  # a step inside of a call: the caller is meant
        return False
    return frame.f_globals.get("__name__") in ("torch.nn.functional", "torch.functional")


def _module_of(frame: FrameType) -> Any:
    """The module of torch's own whose method runs in `frame`."""
    if not str(frame.f_globals.get("__name__", "")).startswith("torch.nn.modules."):
        return None
    owner = frame.f_locals.get("self")
    known = isinstance(owner, nn.Module) and type(owner).__module__.startswith("torch.nn.modules.")
    return owner if known and frame.f_code.co_name not in ("_call_impl", "_wrapped_call_impl") else None
