"""Tracing into TorchScript: it needs torch's dispatch to itself, so it runs unrecorded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.jit import _trace
from torch.utils._python_dispatch import _get_current_dispatch_mode

from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.model.event import Notice

__all__ = ["Tracing"]


class Tracing:
    """Steps aside while ``torch.jit.trace`` runs: a dispatch mode would change what it traces."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._patched: list[tuple[Any, str, Any, Any]] = []
        for owner, name in ((_trace, "_trace_impl"), (_trace, "trace_module"), (torch.jit, "trace_module")):
            plain = getattr(owner, name)
            ours = self._aside(plain)
            self._patched.append((owner, name, plain, ours))
            setattr(owner, name, ours)

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Put torch's functions back, but for one that was wrapped since: dynamo does that when imported."""
        for owner, name, plain, ours in self._patched:
            if getattr(owner, name) is ours:
                setattr(owner, name, plain)

    def _aside(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(plain)
        def trace(*args: Any, **kwargs: Any) -> Any:
            recorder = self._recorder
            if _get_current_dispatch_mode() is not recorder:
                return plain(*args, **kwargs)
            position = recorder.sink.sites.position(sys._getframe(1))
            site = None if position is None else recorder.sink.sites.resolve(position)
            text = "torch.jit.trace was left alone: what it ran is not recorded"
            recorder.sink.emit([Notice(recorder.sink.next_seq(), "blind", text, site)])
            recorder.__exit__(None, None, None)
            try:
                return plain(*args, **kwargs)
            finally:
                recorder.__enter__()

        return trace
