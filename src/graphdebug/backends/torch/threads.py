"""Threads that the user starts: torch's dispatch modes are per thread, so each gets the recorder's."""

from __future__ import annotations

import threading
from typing import Any

from torch.utils._python_dispatch import _pop_mode, _push_mode

from graphdebug.backends.torch.eager import EagerRecorder

__all__ = ["Threads"]


class Threads:
    """While attached, threads run under the recorder. One that outlives the recording is no longer recorded."""

    def __init__(self, recorder: EagerRecorder) -> None:
        self._original = original = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            run = thread.run

            def recorded() -> None:
                thread.__dict__.pop("run", None)
                _push_mode(recorder)
                try:
                    run()
                finally:
                    _pop_mode(None)

            if recorder.attached:
                thread.run = recorded  # type: ignore[method-assign]  # of this one object, until it runs
            original(thread)

        self._start: Any = start
        setattr(threading.Thread, "start", self._start)  # noqa: B010  # mypy takes it for a method

    def drain(self) -> None:
        """Nothing is held back here."""

    def detach(self) -> None:
        """Give threads their own start back."""
        if threading.Thread.start is self._start:
            threading.Thread.start = self._original  # type: ignore[method-assign]
