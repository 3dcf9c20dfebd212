"""The frames of `graphdebug run` are kept out of the stacks that TensorFlow notes for each op of a graph.

TensorFlow prints these stacks in its messages ("Detected at node ... defined at"): they are to be those of the
user's program as it is without us.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["hide_launcher"]

_LAUNCHER = ("graphdebug.cli", "graphdebug.running")


def hide_launcher() -> Callable[[], None]:
    """Filter what started the program from stacks of this thread; return what ends that."""
    files = _files_of_launcher(sys._getframe())
    if not files:
        return lambda: None
    from tensorflow.python.util import tf_stack

    class _Hidden(tf_stack.StackTraceFilter):  # type: ignore[misc]  # TensorFlow has no types
        def get_filtered_filenames(self) -> frozenset[str]:
            return files | frozenset(self.parent.get_filtered_filenames())

    hidden = _Hidden().__enter__()
    filters = tf_stack._source_filter_stacks[threading.get_ident()]

    def show() -> None:
        if hidden in filters:
            filters.remove(hidden)

    return show


def _files_of_launcher(frame: FrameType | None) -> frozenset[str]:
    """Return the files on the stack from its start to the last one of our command."""
    frames = []
    while frame is not None:
        frames.append((frame.f_globals.get("__name__", ""), frame.f_code.co_filename))
        frame = frame.f_back
    ours = [position for position, (module, _) in enumerate(frames) if module.startswith(_LAUNCHER)]
    launcher = frames[ours[0] :] if ours else []
    return frozenset(file for _, file in launcher if not file.startswith("<"))
