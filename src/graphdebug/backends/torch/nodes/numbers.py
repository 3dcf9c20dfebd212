"""Autograd's numbers: which forward node took which, thread by thread: how backward nodes find theirs."""

from __future__ import annotations

import sys
import threading
from typing import Any

import torch

from graphdebug.backends.torch.code.stack import Place

__all__ = ["Numbers", "Thread"]

_sequence_number = torch._C._autograd._get_sequence_nr
_NODES_BEFORE = {"torch::autograd::CopySlices": 1, "AsStridedBackward0": 2}
"""A write into a view makes these after its own autograd node: for its base, and for the view as it is then."""
_LEVELS = 4
"""Autograd nodes of one op that are looked for where transforms of torch.func are nested."""
_TRANSFORMS = torch._functorch.eager_transforms.__file__
_OWNERS_KEPT = 2048


class Thread:
    """What the recorder knows of one thread: attributes in a dict, where the compiled recorder reads them."""

    def __init__(self, ident: int) -> None:
        self.ident = ident
        self.owners: dict[int, int] = {}
        """Autograd sequence number -> the forward node that took it."""
        self.last_number = _sequence_number() - 1
        self.optimizing = 0
        self.muted = 0
        self.place: Place | None = None
        """Where the running optimizer step was called."""
        self.engine_task = -1
        self.engine_place: Any = None
        """Where the running backward was called."""
        self.node = -1
        """Sequence number of the autograd node that ran last."""
        self.node_name = ""
        self.node_forward: int | None = None


class Numbers:
    """The threads that ran ops, and the numbers that their forward nodes took."""

    def __init__(self) -> None:
        self.threads: dict[int, Thread] = {}

    def thread(self) -> Thread:
        """Return what is known of the calling thread."""
        ident = threading.get_ident()
        thread = self.threads.get(ident)
        if thread is None:
            thread = self.threads[ident] = Thread(ident)
        return thread

    def owner_elsewhere(self, number: int, name: str) -> int | None:
        """Return the forward node of a backward that runs elsewhere, or whose number is not that of its op."""
        number -= _NODES_BEFORE.get(name, 0)
        threads = list(self.threads.values())
        for one in range(number, number + (_LEVELS if _in_transform() else 1)):
            for thread in threads:
                if one in thread.owners:
                    return thread.owners[one]
        return None

    def forget_before(self, oldest: int) -> None:
        """Forget forward nodes older than this one, where there are many."""
        for thread in self.threads.values():
            if len(thread.owners) > _OWNERS_KEPT:
                thread.owners = {number: seq for number, seq in thread.owners.items() if seq >= oldest}


def _in_transform() -> bool:
    """Whether a transform of torch.func runs this backward.

    An op inside some makes an autograd node for each, the innermost first, and owns the number of the last.
    """
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == _TRANSFORMS:
            return True
        frame = frame.f_back
    return False
