"""An exception of torch's as a Failure: where it was raised, what failed, why, and what led to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import FrameType
from typing import Any

from graphdebug.backends.torch.code.callsite import CallSite, call_site, frames_of
from graphdebug.backends.torch.code.stack import ENGINE_CALL, MODULE_CALL
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.failing.culprits import completed
from graphdebug.backends.torch.failing.elements import elements_of
from graphdebug.backends.torch.failing.messages import category_of
from graphdebug.backends.torch.failing.operands import operation, tensors_in
from graphdebug.backends.torch.failing.outside import absent_gradient, loaded, optimized, optimizes, reduced
from graphdebug.backends.torch.nodes.records import Raw
from graphdebug.model.event import Failure, Site

__all__ = ["failure_of"]


def failure_of(recorder: EagerRecorder, error: BaseException) -> Failure | None:
    """Return what is known of `error`, or None if no call of torch raised it."""
    sites = recorder.sink.sites
    frames = frames_of(error.__traceback__)
    user = [(frame, offset) for frame, offset in frames if sites.is_user(frame.f_code.co_filename)]
    raw = recorder.raised_by(error)
    site = sites.resolve((user[-1][0].f_code, user[-1][1])) if user else None
    call = call_site(user[-1][0], site) if user and site is not None else None
    inner = [frame for frame, _ in frames[frames.index(user[-1]) + 1 :]] if user else [f for f, _ in frames]
    frame = user[-1][0] if user else None
    absent = absent_gradient(recorder, error, frame, site) if frame is not None and site is not None else None
    if raw is None and absent is None and not _is_torch(inner, call) and not _says_torch(error):
        return None
    category, detail = category_of(error) if absent is None else ("no_gradient", absent[1])
    module = raw.module if raw is not None else _module(recorder, inner)
    made = operation(recorder, raw, inner, call) if absent is None else absent[0]
    if category == "other" and optimizes(inner):
        category = "parameters"
    if category == "parameters":
        refused, more = optimized(recorder, inner, frame, site)
        made, detail = refused or made, detail | more
    elif category == "checkpoint":
        detail = detail | loaded(recorder, str(error), inner, frame)
    elif category == "no_gradient" and "grad_and_value" in str(error):
        made, detail = reduced(recorder, inner) or made, detail | {"transform": True}
    if _collates(inner):
        detail = detail | {"collated": True}
    kind = type(error)
    site, run_site, forward = _in_backward(recorder, site, str(error), raw, inner)
    seq = recorder.sink.next_seq()
    return Failure(
        seq,
        recorder.sink.step,
        kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        str(error),
        category,
        completed(recorder, category, detail, str(error), made) | forward,
        "torch",
        "eager",
        _phase(raw, inner),
        made.op,
        made.function,
        made.family,
        "",
        module,
        site,
        run_site,
        sites.of_error(error),
        recorder.sink.save(seq, made.operands, [elements_of(tensor) for tensor in made.tensors]),
        made.attributes,
        raw.seq if raw is not None else None,
    )


def _in_backward(
    recorder: EagerRecorder, site: Site | None, message: str, raw: Raw | None, inner: Sequence[FrameType]
) -> tuple[Site | None, Site | None, dict[str, Any]]:
    """Of a failure inside backward: the forward line as the site, the call of backward as the line that ran."""
    if not any(frame.f_code is ENGINE_CALL for frame in inner):
        return site, None, {}
    blamed = _function_in(message)
    forward = raw.forward if raw is not None else recorder.builder.last_backward(blamed) if blamed else None
    known = recorder.builder.site_of(forward) if forward is not None else None
    known = known or recorder.anomaly_site
    if known is None:
        return site, None, {}
    return known, site, {} if forward is None else {"forward": forward}


def _function_in(message: str) -> str:
    """The autograd node that anomaly mode names: ``Function 'SqrtBackward0' returned nan values``."""
    found = re.match(r"Function '(\w+)' returned nan", message)
    return found[1] if found else ""


def _is_torch(inner: Sequence[FrameType], call: CallSite | None) -> bool:
    if any(frame.f_globals.get("__name__", "").partition(".")[0] == "torch" for frame in inner):
        return True
    if inner or call is None:
        return False
    callee = getattr(call.callee, "__module__", None) or ""
    return callee.startswith("torch") or any(tensors_in(one.value) for one in call.arguments)


def _says_torch(error: BaseException) -> bool:
    """Whether a message is torch's own, where no frame of torch's is left: a method of a tensor raised it, or
    an assignment to its gradient.
    """
    return str(error).startswith(("vmap: ", "attempting to assign a gradient of ", "a Tensor with "))


def _collates(inner: Sequence[FrameType]) -> bool:
    """Whether a loader was joining samples to a batch."""
    return any(one.f_globals.get("__name__") == "torch.utils.data._utils.collate" for one in inner)


def _phase(raw: Raw | None, inner: Sequence[FrameType]) -> Any:
    if raw is not None:
        return raw.phase.partition(" ")[0]
    return "backward" if any(one.f_code is ENGINE_CALL for one in inner) else "forward"


def _module(recorder: EagerRecorder, inner: Sequence[FrameType]) -> str:
    for frame in reversed(inner):
        if frame.f_code is MODULE_CALL:
            return recorder.modules.path(frame.f_locals.get("self"), frame)
    return ""
