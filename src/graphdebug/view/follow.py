"""Following a run in progress: its nodes as they come into the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from graphdebug.log.reader import LogFile
from graphdebug.model.event import Node
from graphdebug.model.run import Run
from graphdebug.view.page import Table, summary
from graphdebug.view.rows import node_rows
from graphdebug.view.select import Selection

__all__ = ["follow"]

_MOST = 200
"""Nodes shown at a time; of a run that is faster the last ones are shown."""


def follow(path: Path, selection: Selection, wait: Callable[[], None]) -> Iterator[Table]:
    """Yield the new nodes that `selection` wants, as tables, until the run has ended.

    Args:
        path: a log that is being written.
        selection: the nodes wanted.
        wait: called between two looks.

    Raises:
        LogError: there is no log at `path`.

    """
    log = LogFile(path)
    run, seen = Run(log), 0
    while True:
        nodes = log.of_kind(Node)
        skipped = max(0, len(nodes) - seen - _MOST)
        new = [node for node in islice(nodes, seen + skipped, None) if selection.wants(node)]
        seen = len(nodes)
        ended = run.end is not None
        if new:
            passed = f", {skipped} passed over" if skipped else ""
            yield Table(node_rows(run, new), f"{seen} nodes so far{passed}")
        if ended:
            yield Table((), summary(run).status)
            return
        wait()
        while not log.refresh():
            wait()
