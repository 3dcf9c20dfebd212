"""`graphdebug run` beside plain `python`: the program can't tell the difference."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import graphdebug

PYTHON = [sys.executable]
OURS = [str(Path(sys.executable).with_name("graphdebug")), "run"]

PROGRAMS = {
    "argv_main_and_path": """
        import sys, os
        print(sys.argv, __name__, __file__, __spec__ and __spec__.name, __package__, sys.path[0])
        print(sys.modules["__main__"].__file__)
        print(sorted(globals()), type(__loader__).__name__, __builtins__)
    """,
    "exit_code": "import sys; sys.exit(7)",
    "exit_text": "import sys; sys.exit('no data found')",
    "exit_none": "import sys; sys.exit()",
    "exit_object": "raise SystemExit(['a', 1])",
    "exit_big": "raise SystemExit(259)",
    "os_exit": "import os; os._exit(3)",
    "own_excepthook": """
        import sys
        sys.excepthook = lambda kind, error, trace: print("mine:", kind.__name__, error, trace.tb_lineno)
        raise ValueError("x")
    """,
    "chained": """
        def inner():
            try:
                return {}["x"]
            except KeyError as error:
                raise ValueError("outer") from error
        inner()
    """,
    "group": "raise ExceptionGroup('two', [ValueError(1), TypeError(2)])",
    "base_exception": """
        class Stop(BaseException): pass
        raise Stop("now")
    """,
    "keyboard_interrupt": "raise KeyboardInterrupt",
    "broken_pipe": "raise BrokenPipeError(32, 'Broken pipe')",
    "our_error": """
        import graphdebug
        raise graphdebug.LogError("of the program")
    """,
    "syntax_error": "x = = 1",
    "stdin": "import sys; print(input() + '|' + sys.stdin.read())",
    "atexit_and_threads": """
        import atexit, threading, time, sys
        atexit.register(lambda: print("bye from", sys.modules["__main__"].word))
        word = "main"
        threading.Thread(target=lambda: (time.sleep(0.2), print("thread", word))).start()
        raise RuntimeError("main is over")
    """,
    "spawn": """
        import multiprocessing, os
        def work(x): return x * 2, __name__
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(work, [1, 2]))
    """,
    "fork": """
        import os, sys
        if os.fork() == 0:
            print("child"); sys.exit(5)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """,
    "pickle_dataclass_doctest": """
        import pickle, dataclasses, doctest, inspect
        @dataclasses.dataclass
        class Point:
            '''
            >>> Point(1).x
            1
            '''
            x: int
        print(pickle.loads(pickle.dumps(Point(3))), doctest.testmod(), inspect.getsource(Point)[:10])
    """,
    "sigterm_itself": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "sigint_itself": "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
}


def _write(folder: Path, text: str, name: str = "prog.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text).lstrip())
    return path


def _run(command: list[str], folder: Path, stdin: str = "first\nrest") -> tuple[int, str, list[str]]:
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("how", ["script", "module"])
def test_a_program_runs_as_without_us(tmp_path: Path, name: str, how: str) -> None:
    _write(tmp_path, PROGRAMS[name])
    what = ["prog.py"] if how == "script" else ["-m", "prog"]
    args = ["a", "-o", "x", "--", "--help"]
    plain = _run([*PYTHON, *what, *args], tmp_path)
    recorded = _run([*OURS, *what, *args], tmp_path)
    assert recorded[:2] == plain[:2]
    assert [line for line in recorded[2] if not line.startswith("graphdebug: ")] == plain[2]


def test_a_folder_with_a_main_and_a_linked_script_run_as_without_us(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "real").mkdir()
    _write(tmp_path / "app", "import sys, other; print(sys.argv, sys.path[0], __file__)\n1 / 0", "__main__.py")
    _write(tmp_path / "app", "print('other')", "other.py")
    _write(tmp_path / "real", "import sys; print(sys.path[0], __file__)")
    (tmp_path / "link.py").symlink_to(tmp_path / "real" / "prog.py")
    for target in ("app", "link.py"):
        plain = _run([*PYTHON, target, "a"], tmp_path)
        recorded = _run([*OURS, target, "a"], tmp_path)
        assert recorded[:2] == plain[:2]
        assert recorded[2][:-1] == plain[2]


def test_a_module_of_a_package_runs_as_without_us(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    _write(package, "print('package')", "__init__.py")
    _write(package, "import sys; print(__package__, __spec__.name, sys.argv[1:]); sys.exit(4)", "__main__.py")
    for name in ("pkg", "pkg.missing"):
        assert _run([*OURS, "-m", name, "q"], tmp_path)[:2] == _run([*PYTHON, "-m", name, "q"], tmp_path)[:2]


def test_the_log_is_named_after_the_program_and_its_place_is_told(tmp_path: Path) -> None:
    _write(tmp_path, "print('hello')")
    code, out, err = _run([*OURS, "prog.py"], tmp_path)
    assert (code, out) == (0, "hello\n")
    assert err == ["graphdebug: the log is prog.graphdebug.jsonl: graphdebug view prog.graphdebug.jsonl"]
    run = graphdebug.load(tmp_path / "prog.graphdebug.jsonl")
    assert run.start is not None
    assert run.start.argv == ("prog.py",)
    assert run.end is not None
    assert run.end.status == "completed"


def test_output_and_level_are_options_before_the_program(tmp_path: Path) -> None:
    _write(tmp_path, "raise KeyError('k')")
    code, _, err = _run([*OURS, "-o", "logs/one.jsonl", "--level", "stats", "prog.py"], tmp_path)
    assert code == 1
    assert err[-1] == "graphdebug: the log is logs/one.jsonl: graphdebug view logs/one.jsonl"
    run = graphdebug.load(tmp_path / "logs" / "one.jsonl")
    assert run.start is not None
    assert run.start.options["level"] == "stats"
    assert [failure.error for failure in run.failures] == ["KeyError"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["missing.py"], "there is no script missing.py: give the path of a Python file, or -m MODULE"),
        (["-m", "nosuch"], "there is no module nosuch here or in this Python's packages"),
        (["--level", "all", "prog.py"], "unknown level 'all': use one of shapes, health, stats, values"),
        (
            ["-o", "/proc/none/r.jsonl", "prog.py"],
            "can't write the log /proc/none/r.jsonl: No such file or directory; choose a path you can write to",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2_before_the_program_starts(
    tmp_path: Path, args: list[str], message: str
) -> None:
    _write(tmp_path, "print('started')")
    assert _run([*OURS, *args], tmp_path) == (2, "", [f"graphdebug: {message}"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_as_without_us_and_the_log_is_readable(
    tmp_path: Path, number: signal.Signals
) -> None:
    _write(tmp_path, "import time\nprint('up', flush=True)\ntime.sleep(60)")
    ends = []
    for command in (PYTHON, OURS):
        with subprocess.Popen(
            [*command, "prog.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            time.sleep(0.1)
            os.kill(process.pid, number)
            _, err = process.communicate(timeout=30)
            ends.append((process.returncode, [x for x in err.splitlines() if not x.startswith("graphdebug:")]))
    assert ends[0] == ends[1]
    assert ends[0][0] == -number
    run = graphdebug.load(tmp_path / "prog.graphdebug.jsonl")
    assert run.start is not None
    assert (run.end is not None) == (number == signal.SIGINT)


def test_an_exception_of_torch_has_its_own_traceback_and_the_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(tmp_path, "import torch\nx = torch.ones(2, 3)\nx @ x")
    plain = _run([*PYTHON, "prog.py"], tmp_path)
    recorded = _run([*OURS, "prog.py"], tmp_path)
    note = graphdebug.load("prog.graphdebug.jsonl").findings[0].text.splitlines()
    where = "graphdebug: the log is prog.graphdebug.jsonl: graphdebug view prog.graphdebug.jsonl"
    assert recorded[0] == plain[0] == 1
    assert recorded[2] == [*plain[2], *note, where]
    assert note[0] == "graphdebug: shape mismatch in matmul, at prog.py:3 (forward, step 0)"


def test_a_fault_that_raises_nothing_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(tmp_path, "import torch\nx = torch.zeros(2)\ny = torch.log(x - 1)\nprint('done')")
    code, out, err = _run([*OURS, "prog.py"], tmp_path)
    finding = graphdebug.load("prog.graphdebug.jsonl").findings[0]
    assert (code, out) == (0, "done\n")
    assert (finding.kind, finding.site and finding.site.line) == ("nonfinite", 3)
    assert err[:-1] == finding.text.splitlines()


def test_a_forked_child_that_ends_on_its_own_says_nothing_of_the_log(tmp_path: Path) -> None:
    _write(tmp_path, "import os\nif os.fork():\n    os.wait()")
    assert len(_run([*OURS, "prog.py"], tmp_path)[2]) == 1


def test_what_the_command_line_allows_is_no_finding(tmp_path):
    (tmp_path / "masked.py").write_text("import torch\nprint(torch.log(torch.zeros(2)))\n")
    said = {}
    for name, allow in {"without": [], "with": ["--allow", "log"]}.items():
        command = [*OURS, *allow, "masked.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        said[name] = "graphdebug: log is not finite" in done.stderr
    assert said == {"without": True, "with": False}
