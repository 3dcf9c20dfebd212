"""An exception of torch's as a Failure: the failing call, its operands by name and producer, its category."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch

from graphdebug.backends.torch.attributes import attributes_of, function_of
from graphdebug.backends.torch.callsite import Argument, CallSite, call_site, frames_of
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.facts import kind_of
from graphdebug.backends.torch.messages import category_of
from graphdebug.backends.torch.nodes import Raw, call_of, operands_of
from graphdebug.backends.torch.ops import words_of
from graphdebug.model.event import Failure, Operand

__all__ = ["failure_of"]

_OPERATORS = {
    "add": "add", "sub": "sub", "mult": "mul", "div": "div", "matmult": "matmul", "pow": "pow",
    "mod": "remainder", "floordiv": "floor_divide", "[]": "gather", "compare": "eq",
    "bitand": "bitwise_and", "bitor": "bitwise_or",
}  # fmt: skip


def failure_of(recorder: EagerRecorder, error: BaseException) -> Failure | None:
    """Return what is known of `error`, or None if no call of torch raised it."""
    sites = recorder.sink.sites
    frames = frames_of(error.__traceback__)
    user = [(frame, offset) for frame, offset in frames if sites.is_user(frame.f_code.co_filename)]
    raw = recorder.raised_by(error)
    site = sites.resolve((user[-1][0].f_code, user[-1][1])) if user else None
    call = call_site(user[-1][0], site) if user and site is not None else None
    inner = [frame for frame, _ in frames[frames.index(user[-1]) + 1 :]] if user else [f for f, _ in frames]
    if raw is None and not _is_torch(inner, call):
        return None
    category, detail = category_of(error)
    op, function, family, operands, attributes = _operation(recorder, raw, inner, call)
    kind = type(error)
    return Failure(
        recorder.sink.next_seq(),
        recorder.sink.step,
        kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        str(error),
        category,
        detail,
        "torch",
        "eager",
        _as_phase(raw.phase) if raw is not None else _phase(inner),
        op,
        function,
        family,
        "",
        raw.module if raw is not None else _module(recorder, inner),
        site,
        None,
        sites.of_traceback(error.__traceback__),
        operands,
        attributes,
        raw.seq if raw is not None else None,
    )


def _is_torch(inner: Sequence[FrameType], call: CallSite | None) -> bool:
    if any(frame.f_globals.get("__name__", "").partition(".")[0] == "torch" for frame in inner):
        return True
    if inner or call is None:
        return False
    callee = getattr(call.callee, "__module__", None) or ""
    return callee.startswith("torch") or any(_tensors(one.value) for one in call.arguments)


def _operation(
    recorder: EagerRecorder, raw: Raw | None, inner: Sequence[FrameType], call: CallSite | None
) -> tuple[str, str, Any, tuple[Operand, ...], dict[str, Any]]:
    if raw is not None:
        named = tuple(_expressed(operand, tensor, call) for operand, tensor in operands_of(raw))
        made = call_of(raw)
        return raw.op.name, function_of(made), raw.op.family, named, attributes_of(made)
    frame = next((one for one in reversed(inner) if _is_functional(one)), None)
    if frame is not None:
        function, family = words_of(frame.f_code.co_name)
        count = frame.f_code.co_argcount
        names = frame.f_code.co_varnames[:count]
        values = {name: frame.f_locals.get(name) for name in names}
    elif call is not None:
        name = _OPERATORS.get(call.name, call.name)
        function, family = words_of(name)
        values = {one.keyword or str(i): one.value for i, one in enumerate(call.arguments)}
    else:
        return "", "", "other", (), {}
    found = [
        _expressed(_operand(recorder, name, family, tensor), tensor, call)
        for name, value in values.items()
        for tensor in _tensors(value)
    ]
    return f"torch::{function}", function, family, tuple(found), {}


def _operand(recorder: EagerRecorder, name: str, family: str, tensor: torch.Tensor) -> Operand:
    roles = {"0": "a" if family in ("elementwise", "matmul") else "input", "1": "b", "target": "labels"}
    role = roles.get(name, name if name in ("input", "weight", "bias", "index", "labels") else "")
    trace = recorder.origins.get(tensor)
    fact = kind_of(tensor).fact
    if trace is not None:
        origin, named = trace[6] or ("node", "")
        return Operand(fact, origin, trace[2], trace[3], named, role)
    found = recorder.modules.name_of(tensor)
    if found is not None:
        return Operand(fact, found[0], None, 0, found[1], role)
    return Operand(fact, "argument", None, 0, "", role)


def _expressed(operand: Operand, tensor: Any, call: CallSite | None) -> Operand:
    if call is None or tensor is None:
        return operand
    argument = next((one for one in call.arguments if _holds(one, tensor)), None)
    if argument is None:
        return operand
    return Operand(
        operand.fact,
        operand.origin,
        operand.producer,
        operand.output,
        operand.name,
        operand.role,
        argument.text,
    )


def _holds(argument: Argument, tensor: Any) -> bool:
    return any(one is tensor for one in _tensors(argument.value))


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if type(value) in (list, tuple):
        return [one for one in value if isinstance(one, torch.Tensor)]
    return []


def _is_functional(frame: FrameType) -> bool:
    if frame.f_code.co_name == "broadcast_tensors":  # a loss's own first step: the loss is the call
        return False
    return frame.f_globals.get("__name__") in ("torch.nn.functional", "torch.functional")


def _phase(inner: Sequence[FrameType]) -> Any:
    return "backward" if any(one.f_code.co_name == "_engine_run_backward" for one in inner) else "forward"


def _module(recorder: EagerRecorder, inner: Sequence[FrameType]) -> str:
    for frame in reversed(inner):
        if frame.f_code is torch.nn.Module._call_impl.__code__:
            return recorder.modules.path(frame.f_locals.get("self"), frame)
    return ""


def _as_phase(phase: str) -> Any:
    return phase.partition(" ")[0]
