"""load(): a run read back from its log, or from the logs of all its ranks."""

from __future__ import annotations

import os
from pathlib import Path

from graphdebug.diagnosis import diagnose
from graphdebug.log.folder import LogFolder, logs_of
from graphdebug.log.reader import LogFile
from graphdebug.model.run import Run
from graphdebug.model.store import EventStore
from graphdebug.showing import SHOWING

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> Run:
    """Return the run recorded at `path`, the same as it was in memory.

    Args:
        path: a log file, or a folder with one log per rank of a distributed job; the name that was given
            to `record` (``run.jsonl``) also stands for its ranks' logs (``run.rank0.jsonl`` ...).

    Raises:
        LogError: the path holds no log of ours. A damaged log is read up to and around the damage, and
            `Run.damage` says what is missing.

    """
    one = Path(path)
    logs = logs_of(one)
    many = one.is_dir() or logs not in ([], [one])
    store: EventStore = LogFolder(logs, path) if many else LogFile(path)
    return Run(store, diagnose=diagnose, showing=SHOWING)
