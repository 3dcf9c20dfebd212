"""Hosts from the outside: starting them, giving them jobs, and the outputs that come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from graphdebug.errors import GraphDebugError
from graphdebug.locality import host
from graphdebug.locality.output import without_frames_of

__all__ = ["Execution", "Host"]

_LAUNCHER = ("<string>", host.__file__)


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of one program: what a user saw, the exit code (-9 where it took too long), and seconds."""

    text: str
    returncode: int
    seconds: float


class Host:
    """A process that has imported `modules`, the framework first, and forks a child for each program."""

    def __init__(self, *modules: str) -> None:
        self._framework = modules[0]
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from graphdebug.locality import host; host.serve(*{modules!r})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")},
        )

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(
        self, script: Path, *, flags: Path | None = None, log: Path | None = None, timeout: float = 120.0
    ) -> Execution:
        """Run `script` and return what it printed.

        Args:
            script: the program, an absolute path; it runs in its own folder.
            flags: a script that is executed before it, which switches the framework's own aids on.
            log: run it by ``graphdebug run`` and write this log.
            timeout: seconds after which it is killed.

        Raises:
            GraphDebugError: the framework can't be imported.

        """
        output = script.with_suffix(".out")
        job = {"script": str(script), "output": str(output), "log": str(log or ""), "flags": str(flags or ""),
               "timeout": timeout}  # fmt: skip
        if self._process.stdin is None or self._process.stdout is None:
            raise GraphDebugError("this host has been closed")
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is gone; the missing answer says so
        answer = self._process.stdout.readline()
        if not answer:
            raise GraphDebugError(
                f"{self._framework} can't be imported here: try `python -c 'import {self._framework}'`"
            )
        done = json.loads(answer)
        text = without_frames_of(_LAUNCHER, output.read_text("utf-8", errors="replace"))
        return Execution(text, done["returncode"], done["seconds"])
