"""Running an unmodified program under a recording, in such a way that it can't tell the difference."""

from __future__ import annotations

import builtins
import importlib.util
import os
import pkgutil
import runpy
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType
from typing import Protocol

from graphdebug.errors import GraphDebugError
from graphdebug.recording import Recording

__all__ = ["Module", "Program", "Script", "run", "show_without_our_frames"]


class Program(Protocol):
    """What can be run: a script, or a module found on the path."""

    name: str
    """A short name, without folder and suffix: the log is named after it."""
    argv: list[str]

    def folder(self) -> str:
        """Return what Python would put first on ``sys.path``."""
        ...

    def load(self, main: ModuleType) -> None:
        """Fill the fresh module ``__main__``; a syntax error is raised here, before recording starts."""
        ...

    def execute(self, main: ModuleType) -> None:
        """Run the program as ``__main__``."""
        ...


class Script:
    """A Python file, or a folder or zip file with a ``__main__.py``.

    Raises:
        GraphDebugError: there is no such file.

    """

    def __init__(self, path: str, args: list[str]) -> None:
        if not os.path.exists(path):
            raise GraphDebugError(f"there is no script {path}: give the path of a Python file, or -m MODULE")
        self.path = os.path.abspath(path)
        self.name = os.path.splitext(os.path.basename(self.path))[0]
        self.argv = [path, *args]
        self._is_archive = pkgutil.get_importer(self.path) is not None

    def folder(self) -> str:
        """Return the script's own folder, symbolic links followed; an archive is on the path itself."""
        return self.path if self._is_archive else os.path.dirname(os.path.realpath(self.path))

    def load(self, main: ModuleType) -> None:
        """Compile the script."""
        if self._is_archive:
            return
        with open(self.path, "rb") as file:
            self._code = compile(file.read(), self.path, "exec", dont_inherit=True)
        main.__file__ = self.path
        main.__loader__ = SourceFileLoader("__main__", self.path)
        vars(main)["__cached__"] = None

    def execute(self, main: ModuleType) -> None:
        """Run the compiled code in `main`."""
        if self._is_archive:
            _as_main("__main__", names_argv0=False)
        else:
            exec(self._code, vars(main))


class Module:
    """A module or package that ``python -m`` would run.

    Raises:
        GraphDebugError: no such module is on the path.

    """

    def __init__(self, name: str, args: list[str]) -> None:
        self.name = name
        self.argv = [name, *args]

    def folder(self) -> str:
        """Return the current folder, as for ``python -m``."""
        return os.getcwd()

    def load(self, main: ModuleType) -> None:  # noqa: ARG002 - runpy fills it
        """Look for the module's top package, which needs no code of the user's to run."""
        if importlib.util.find_spec(self.name.partition(".")[0]) is None:
            raise GraphDebugError(f"there is no module {self.name} here or in this Python's packages")

    def execute(self, main: ModuleType) -> None:  # noqa: ARG002 - runpy runs in sys.modules["__main__"]
        """Run the module by the function that ``python -m`` itself calls."""
        sys.argv[0] = "-m"
        _as_main(self.name, names_argv0=True)


def run(program: Program, recording: Recording) -> BaseException | None:
    """Run `program` as ``__main__`` under `recording` and return the exception that ended it, if one did.

    ``sys.argv``, ``sys.path`` and ``sys.modules["__main__"]`` stay the program's afterwards: its threads
    and exit handlers still need them.

    Raises:
        LogError: the log can't be written; the program was not started.
        GraphDebugError: there is no such module; the program was not started.

    """
    global _first_main
    _first_main = sys.modules["__main__"]
    main = sys.modules["__main__"] = _fresh_main()
    sys.argv = program.argv
    if not sys.flags.safe_path:
        sys.path[0] = program.folder()
    started = False
    try:
        program.load(main)
        with recording:
            started = True
            program.execute(main)
    except BaseException as error:
        if isinstance(error, GraphDebugError) and not started:
            raise
        return error
    return None


def show_without_our_frames(after: str) -> None:
    """Make the interpreter show the exception that it dies of as without us: no frame of the launcher.

    Args:
        after: a line for stderr below the traceback, or nothing if empty.

    """
    users_hook = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.excepthook = users_hook
        trace = _below_launcher(trace)
        try:
            users_hook(kind, error.with_traceback(trace), trace)
        finally:
            if after:
                print(after, file=sys.stderr)

    sys.excepthook = show


_first_main: ModuleType | None = None
"""The ``__main__`` that started us, kept alive: its namespace dies with it."""


def _fresh_main() -> ModuleType:
    main = ModuleType("__main__")
    main.__builtins__ = builtins  # type: ignore[attr-defined]  # as in any __main__
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    return main


def _as_main(name: str, *, names_argv0: bool) -> None:
    runpy._run_module_as_main(name, names_argv0)  # type: ignore[attr-defined]  # what the interpreter calls


def _below_launcher(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of `trace` below the call of `run` and what it calls here."""
    below, ours = trace, (run.__code__, Script.load.__code__, Script.execute.__code__,
                          Module.execute.__code__, _as_main.__code__)  # fmt: skip
    while trace is not None:
        if trace.tb_frame.f_code in ours:
            below = trace.tb_next
        trace = trace.tb_next
    return below
