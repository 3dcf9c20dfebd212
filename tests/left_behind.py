"""What a recording could leave behind in the process: hooks, modes, patches, threads."""

from __future__ import annotations

import builtins
import sys
import threading
from typing import Any


def snapshot() -> dict[str, Any]:
    """Return the state of everything that graphdebug may touch, by name."""
    state: dict[str, Any] = {
        "sys.meta_path": [
            type(finder).__name__
            for finder in sys.meta_path
            if type(finder).__module__.startswith("graphdebug")
        ],
        "sys.excepthook": sys.excepthook,
        "sys.gettrace": sys.gettrace(),
        "sys.getprofile": sys.getprofile(),
        "builtins.__import__": builtins.__import__,
        "threads": sorted(one.name for one in threading.enumerate() if "graphdebug" in one.name.lower()),
        "recordings": _open_recordings(),
    }
    if "torch" in sys.modules:
        state.update(_torch_state())
    if "tensorflow.python.client.session" in sys.modules:
        state.update(_tensorflow_state())
    return state


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one line for each thing that is not as it was."""
    changed = [name for name in after if name in before and before[name] != after[name]]
    return [f"{name}: was {before[name]!r}, is {after[name]!r}" for name in changed]


def _open_recordings() -> int:
    recording = sys.modules.get("graphdebug.recording")
    return len(recording._active) if recording is not None else 0


def _torch_state() -> dict[str, Any]:
    import torch
    from torch.nn.modules import module as nn_module

    hooks = {
        name: len(value)
        for name, value in vars(nn_module).items()
        if name.startswith("_global_") and hasattr(value, "__len__")
    }
    patched = {
        f"torch.{owner.__name__}.{name}": getattr(owner, name)
        for owner, name in (
            (torch.nn.Module, "__call__"),
            (torch.nn.Module, "_call_impl"),
            (torch.Tensor, "backward"),
            (torch.optim.Optimizer, "step"),
            (torch.autograd, "backward"),
            (torch.autograd, "grad"),
            (torch.autograd, "_engine_run_backward"),
            (threading.Thread, "start"),
        )
        if hasattr(owner, name)
    }
    return {
        "torch dispatch modes": torch._C._len_torch_dispatch_stack(),
        "torch function modes": torch._C._len_torch_function_stack(),
        "torch anomaly mode": torch.is_anomaly_enabled(),
        "torch compile": torch.compile,
        **_dynamo_state(),
        **{f"torch.nn {name}": size for name, size in hooks.items()},
        **patched,
    }


def _dynamo_state() -> dict[str, Any]:
    if "torch._dynamo.eval_frame" not in sys.modules:
        return {}
    from torch._dynamo import eval_frame, trace_rules

    return {
        "dynamo's callback": eval_frame._callback_from_stance,
        "what dynamo skips": tuple(trace_rules.SKIP_DIRS),
    }


def _tensorflow_state() -> dict[str, Any]:
    from tensorflow.python.client.session import BaseSession, Session
    from tensorflow.python.eager import context
    from tensorflow.python.framework import ops

    state: dict[str, Any] = {}
    for owner in (BaseSession, Session, ops.Graph):
        for name in (
            "run",
            "partial_run",
            "make_callable",
            "__init__",
            "close",
            "_create_op_internal",
            "finalize",
        ):
            if name in vars(owner):
                state[f"tf.{owner.__name__}.{name}"] = vars(owner)[name]
    if context.context()._context_handle is not None:
        state["tf op_callbacks"] = len(context.context().op_callbacks)
    return state
