"""Writing: the writer of one call's nodes, with the line that ran it and what it was fed."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.facts import array_fact, dtype_word
from graphdebug.backends.tensorflow.sessions.asked import RunCall
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts
from graphdebug.backends.tensorflow.sessions.whole import Whole
from graphdebug.model.event import Level, Site, TensorFact

__all__ = ["Writing"]


class Writing:
    """What all nodes of a call have in common.

    Args:
        sink: gives numbers, and knows the user's files.
        level: what to record of each tensor.

    """

    def __init__(self, sink: Sink, level: Level) -> None:
        self._sink = sink
        self._level = level

    def writer(self, call: RunCall, facts: RunFacts) -> NodeWriter:
        """Return a writer for the nodes of `call`."""
        return NodeWriter(self._sink, facts, self.run_site(call), call.thread)

    def run_site(self, call: RunCall) -> Site | None:
        """Return the user's line that ran `call`."""
        if call.frame is None:
            return call.ran_at
        position = self._sink.sites.position(call.frame)
        return None if position is None else self._sink.sites.resolve(position)

    def feed_facts(self, call: RunCall, whole: Whole) -> dict[int, TensorFact]:
        """Return the facts of the fed arrays by tensor id; those of whole numbers are measured."""
        return {
            id(ref.deref()): self._feed_fact(np.asarray(value), ref.deref(), whole)
            for ref, value in call.feeds.items()
        }

    def _feed_fact(self, value: np.ndarray, tensor: Any, whole: Whole) -> TensorFact:
        level: Level = "shapes" if self._level == "shapes" else "health"
        if id(tensor) in whole.feeds:
            level = "stats"
        return array_fact(value, level, dtype=dtype_word(tensor.dtype))
