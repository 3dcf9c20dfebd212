"""Where a graph node was built: the user's line in the stack that TensorFlow keeps for each op."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from graphdebug.backends.tensorflow.messages import python_frames
from graphdebug.model.event import Site
from graphdebug.model.site import SiteFinder

__all__ = ["build_sites", "called_python"]


def build_sites(op: Any, finder: SiteFinder, limit: int = 8) -> Sequence[Site]:
    """Return the user's frames of the stack that built `op`, innermost first; empty where there is none.

    Args:
        op: a ``tf.Operation``. One imported from a GraphDef has the stack of the import, not its own:
            the caller has to know that.
        finder: tells the user's files from others.
        limit: the number of frames returned at most.

    """
    try:
        frames = op.traceback
    except (AttributeError, RuntimeError):
        return ()
    stack = ((frame.filename, frame.lineno, frame.name) for frame in reversed(list(frames or ())))
    return tuple(islice(finder.of_lines(stack), limit))


def called_python(message: str, finder: SiteFinder) -> list[Site]:
    """Return the user's frames, innermost first, of a Python function of theirs that failed in an op.

    Args:
        message: what the runtime says of the failing op.
        finder: tells the user's files from others.

    """
    return list(finder.of_lines(reversed(python_frames(message))))
