"""The host: a process that imports a framework once and then forks a child for each program it is told to run.

Importing TensorFlow takes seconds; a child that is forked after the import starts at once and is otherwise
what ``python program.py`` is: its own process and output, the excepthook and the exit handlers at its end.
The host reads one JSON job a line from stdin and answers each with one line.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
import time
import traceback
from types import ModuleType, TracebackType
from typing import Any, NoReturn

__all__ = ["serve"]

_KILLED = -9


def serve(*modules: str) -> None:
    """Import `modules`, then answer jobs until stdin ends."""
    for module in modules:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _end(_ended_by(job))
        answers.write(json.dumps(_wait(child, job["timeout"])) + "\n")
        answers.flush()


def _wait(child: int, timeout: float) -> dict[str, Any]:
    """Wait for `child`; kill it after `timeout` seconds."""
    began = time.perf_counter()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        seconds = time.perf_counter() - began
        if done:
            return {"returncode": os.waitstatus_to_exitcode(status), "seconds": seconds}
        if seconds > timeout:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return {"returncode": _KILLED, "seconds": seconds}
        time.sleep(0.01)


def _ended_by(job: dict[str, Any]) -> BaseException | None:
    """Run the job's program and return the exception that ended it, if one did."""
    try:
        _run_job(job)
    except BaseException as error:
        return error
    return None


def _end(error: BaseException | None) -> NoReturn:
    """End the child as the interpreter would, but for taking all its modules apart, which takes seconds."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run_job(job: dict[str, Any]) -> None:
    """Run the job's program in this child, with its output in a file."""
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(os.path.dirname(job["script"]))
    if job["flags"]:
        _run(job["flags"], ModuleType("flags"))
    if job["log"]:
        # by name: this is the user's own way to the command line, not a part of ours that knows it
        sys.argv = ["graphdebug", "run", "-o", job["log"], job["script"]]
        importlib.import_module("graphdebug.cli").main()
    else:
        sys.argv = [job["script"]]
        sys.path[0] = os.path.dirname(job["script"])
        main = sys.modules["__main__"] = ModuleType("__main__")
        sys.excepthook = _show_from(job["script"])
        _run(job["script"], main)


def _run(path: str, module: ModuleType) -> None:
    module.__file__ = path
    with open(path, "rb") as file:
        exec(compile(file.read(), path, "exec", dont_inherit=True), vars(module))


def _show_from(script: str) -> Any:
    """Return an excepthook that shows a traceback from the frame of `script` on, as a user sees it."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        below = trace
        while below is not None and below.tb_frame.f_code.co_filename != script:
            below = below.tb_next
        traceback.print_exception(kind, error, below or trace)

    return show
