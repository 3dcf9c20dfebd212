"""Running the demo's programs as a user would, natively and by `graphdebug run`, and measuring both outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from graphdebug.errors import LogError
from graphdebug.loading import load
from graphdebug.locality.metrics import Locality, measure
from graphdebug.locality.oracle import Oracle
from graphdebug.locality.output import Output
from graphdebug.locality.program import Mode, Program
from graphdebug.model.run import Run

__all__ = ["PARTS", "Part", "Scene", "missing", "play"]

_FOLDER = Path(__file__).parent / "programs"
_COMMAND_LINE = [sys.executable, "-c", "from graphdebug.cli import main; main()"]


@dataclass(frozen=True, slots=True)
class Part:
    """One framework's half of the demo."""

    mode: Mode
    programs: tuple[str, ...]
    install: str


PARTS = (
    Part(
        Mode("torch eager", "", ("torch",)), ("torch_cnn", "torch_reshape"), "pip install 'graphdebug[torch]'"
    ),
    Part(
        Mode("TF1 session", "", ("tensorflow",), static=True),
        ("tf1_cnn", "tf1_reshape"),
        "pip install 'graphdebug[tensorflow]'",
    ),
)
"""The two halves: a graph made anew in every step, and one built before the first."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One program, run both ways."""

    program: Program
    mode: Mode
    faults: tuple[int, ...]
    script: Path
    log: Path
    native: Locality
    ours: Locality
    run: Run | None


def missing(part: Part) -> bool:
    """Whether the framework of `part` is not installed."""
    return find_spec(part.mode.imports[0]) is None


def play(folder: Path, parts: list[Part], jobs: int) -> list[Scene]:
    """Copy the programs of `parts` to `folder`, run each natively and under graphdebug, and measure.

    Args:
        folder: gets the scripts and the logs.
        parts: whose framework is installed.
        jobs: programs run at a time.

    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        scenes = [
            pool.submit(_play_one, Program(name, _FOLDER / f"{name}.py"), part.mode, folder.resolve())
            for part in parts
            for name in part.programs
        ]
        return [scene.result() for scene in scenes]


def _play_one(program: Program, mode: Mode, folder: Path) -> Scene:
    text = program.text(mode)
    script, log = folder / f"{program.case}.py", folder / f"{program.case}.jsonl"
    script.write_text(text.source, "utf-8")
    native = _output_of([sys.executable, script.name], folder)
    ours = _output_of([*_COMMAND_LINE, "run", "-o", log.name, script.name], folder)
    run = _load(log)
    oracle = None if run is None else Oracle(run, script, text.births)
    return Scene(
        program,
        mode,
        tuple(sorted(text.faults)),
        script,
        log,
        measure(Output(native, script), text, oracle),
        measure(Output(ours, script), text, oracle),
        run,
    )


def _output_of(command: list[str], folder: Path) -> str:
    """Return stdout and stderr of `command` in the order in which a terminal would show them."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout.decode("utf-8", errors="replace")


def _load(log: Path) -> Run | None:
    try:
        return load(log)
    except LogError:
        return None
