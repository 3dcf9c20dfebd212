"""Launch: what is known of a process before it runs anything: its command line, machine and place in a job."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from datetime import datetime
from pathlib import Path

from graphdebug._version import VERSION
from graphdebug.model.event import SCHEMA_VERSION, RunStart
from graphdebug.options import Options

__all__ = ["path_of_rank", "run_start"]


def path_of_rank(path: Path | None) -> Path | None:
    """Return where this process writes: a rank of a distributed job beside `path`, with its number."""
    rank, _ = _place_in_job()
    if path is None or rank is None:
        return path
    return path.with_name(f"{path.stem}.rank{rank}{path.suffix}")


def run_start(seq: int, options: Options) -> RunStart:
    """Return the first event of a run."""
    rank, world_size = _place_in_job()
    return RunStart(
        seq=seq,
        schema=SCHEMA_VERSION,
        graphdebug=VERSION,
        started=datetime.now().astimezone().isoformat(timespec="milliseconds"),
        python=platform.python_version(),
        platform=platform.platform(),
        argv=tuple(sys.argv),
        cwd=os.getcwd(),
        pid=os.getpid(),
        options=options.to_json(),
        rank=rank,
        world_size=world_size,
        host=socket.gethostname(),
    )


def _place_in_job() -> tuple[int | None, int | None]:
    """Return this process's number in a distributed job and the job's size, as the launcher has set them.

    They are in ``RANK`` and ``WORLD_SIZE``, or in ``TF_CONFIG``, where the chief comes before the workers.
    """
    rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if rank.isdigit():
        return int(rank), int(world) if world.isdigit() else None
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        cluster, task = config["cluster"], config["task"]
        kinds = ("chief", "worker")
        trainers = [(kind, index) for kind in kinds for index in range(len(cluster.get(kind, ())))]
        return trainers.index((task["type"], int(task["index"]))), len(trainers)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None
