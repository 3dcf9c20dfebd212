"""load(): a run read back from its log."""

from __future__ import annotations

import os

from graphdebug.diagnosis import diagnose
from graphdebug.log.reader import LogFile
from graphdebug.model.run import Run

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> Run:
    """Return the run recorded at `path`, the same as it was in memory.

    Args:
        path: a log file.

    Raises:
        LogError: the path holds no log of ours. A damaged log is read up to and around the damage, and
            `Run.damage` says what is missing.

    """
    return Run(LogFile(path), diagnose=diagnose)
