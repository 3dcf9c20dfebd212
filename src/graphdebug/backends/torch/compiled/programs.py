"""torch.compile: while a block records, compiled programs are compiled anew with a backend that records.

Dynamo keeps one compiled program per backend. Inside the block every ``torch.compile`` runs with a
`RecordingBackend` around the user's own, so programs compiled before the block are recorded too; after it
the user's own programs are found again, untouched, and ours are dropped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import torch

import graphdebug
from graphdebug.backends.discovery import ImportWatch
from graphdebug.backends.torch.compiled.backend import RecordingBackend
from graphdebug.backends.torch.compiled.failures import failure_of_call, failure_of_capture
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.model.event import Failure

__all__ = ["Compiled"]

_MODULE = "torch._dynamo.eval_frame"
_RUNNING = ("backends/", "log/", "model/", "recorder.py")
"""What of ours runs while the user's program does."""


class Compiled:
    """Puts the recording backend before every compiled program, and takes it away again."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._recorder = recorder
        self._backends: dict[int, RecordingBackend] = {}
        self._callbacks: dict[int, tuple[Any, Any]] = {}
        """By the id of dynamo's own callback: that callback, and ours."""
        self._codes: set[CodeType] = set()
        self._original: Callable[[Any], Any] | None = None
        self._watch: ImportWatch | None = None
        self._skipping = False
        """Whether dynamo was told that nothing of ours is to be compiled."""
        self._bucket: int | None = None
        """Our programs count towards no limit of the user's: they are kept apart, where torch can do that."""
        self._use_bucket: Callable[[int], Any] = int
        if _MODULE in sys.modules:
            self._install(_MODULE)
        else:
            self._watch = ImportWatch([_MODULE], self._install)

    def drain(self) -> None:
        """A step may have ended: runs whose backward has not come by now are forgotten."""
        for backend in self._backends.values():
            for region in backend.regions:
                region.forget()

    def failure(self, error: BaseException) -> Failure | None:
        """Return what is known of an exception that a compiled program raised; None if none did."""
        for backend in self._backends.values():
            for region in backend.regions:
                if region.raised is not None and region.raised[0] == repr(error):
                    return failure_of_call(region.raised[1], error, self._recorder)
        return failure_of_capture(self._recorder, error) if self._backends else None

    def detach(self) -> None:
        """Give dynamo its own callbacks back, and drop the programs that record."""
        if self._watch is not None:
            self._watch.stop()
        if self._original is not None:
            from torch._dynamo import eval_frame

            eval_frame._callback_from_stance = self._original
            self._drop_programs()
        if self._skipping:
            _skip_own_code(skip=False)
        self._callbacks.clear()
        self._backends.clear()

    def _install(self, _module: str) -> None:
        from torch._dynamo import eval_frame

        self._original = eval_frame._callback_from_stance
        if hasattr(eval_frame, "_next_isolate_recompiles_id"):
            self._bucket = next(eval_frame._next_isolate_recompiles_id)
            self._use_bucket = eval_frame.set_eval_frame_isolate_recompiles_id
        eval_frame._callback_from_stance = self._callback

    def _callback(self, callback: Any) -> Any:
        """Return the callback that dynamo is to use for a call of a compiled program."""
        chosen = self._original(callback) if self._original is not None else callback
        inner = getattr(chosen, "_torchdynamo_orig_backend", None)
        if not hasattr(inner, "_clone_with_backend") or getattr(inner, "_export", False):
            return chosen
        known = self._callbacks.get(id(chosen))
        if known is None:
            known = self._callbacks[id(chosen)] = chosen, self._recording(chosen, inner)
        if self._bucket is not None:
            self._use_bucket(self._bucket)  # dynamo restores its own when the call ends
        return known[1]

    def _recording(self, callback: Any, inner: Any) -> Any:
        from torch._dynamo import convert_frame, eval_frame

        if not self._skipping:
            self._skipping = True
            _skip_own_code(skip=True)
        original = eval_frame.innermost_backend(callback)
        backend = self._backends.get(id(original))
        if backend is None:
            backend = self._backends[id(original)] = RecordingBackend(original, self._recorder)
        ours = inner._clone_with_backend(backend)
        return _Callback(convert_frame.catch_errors_wrapper(ours, callback.hooks), self._codes)

    def _drop_programs(self) -> None:
        """Make our programs unusable.

        Dynamo keeps their empty entries, and gives up a function that has too many
        (`accumulated_recompile_limit`): where half of that is reached, the limit grows by what we left.
        """
        from torch._dynamo import config, eval_frame, guards

        ours = {id(backend) for backend in self._backends.values()}
        for code in self._codes:
            for entry in eval_frame._debug_get_cache_entry_list(code):
                if id(entry.backend) in ours:
                    gone = guards.DeletedGuardManagerWrapper("graphdebug's recording ended")
                    entry.guard_manager.extra_state.invalidate(entry, gone)
        count = getattr(torch._C._dynamo.eval_frame, "_get_total_cache_entry_count", None)
        left = max(map(count, self._codes), default=0) if count is not None else 0
        if 2 * left > config.accumulated_recompile_limit:
            config.accumulated_recompile_limit += left


def _skip_own_code(*, skip: bool) -> None:
    """Tell dynamo not to compile our code, which it meets where a compiled function calls ``backward()``."""
    from torch._dynamo import trace_rules

    folder = Path(graphdebug.__file__).parent
    ours = [f"{folder.as_posix()}/{one}" for one in _RUNNING]
    kept = [one for one in trace_rules.SKIP_DIRS if one not in ours]
    trace_rules.SKIP_DIRS[:] = [*kept, *ours] if skip else kept
    trace_rules._recompile_re()


class _Callback:
    """Dynamo's callback with our backend; remembers the code that it compiled."""

    def __init__(self, callback: Any, codes: set[CodeType]) -> None:
        self._torchdynamo_orig_backend = callback
        self._codes = codes
        self.hooks = callback.hooks

    def __call__(self, frame: Any, *rest: Any) -> Any:
        from torch._dynamo import config, convert_frame

        self._codes.add(frame.f_code)
        before = dict(convert_frame.FRAME_COMPILE_COUNTER)
        try:
            with config.patch(accumulated_recompile_limit=sys.maxsize):
                return self._torchdynamo_orig_backend(frame, *rest)
        finally:  # our compilations are none of the user's
            convert_frame.FRAME_COMPILE_COUNTER.clear()
            convert_frame.FRAME_COMPILE_COUNTER.update(before)
