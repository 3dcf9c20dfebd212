"""The suite: each faulty program in each of its modes, run natively, with the best flags, with graphdebug."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from graphdebug.errors import LogError, OptionError
from graphdebug.loading import load
from graphdebug.locality.hosts import Execution, Host
from graphdebug.locality.metrics import Locality, measure
from graphdebug.locality.oracle import Oracle
from graphdebug.locality.output import Output
from graphdebug.locality.program import MODES, Mode, Program, Text, programs
from graphdebug.model.run import Run

__all__ = ["COLUMNS", "Pair", "Result", "run_suite", "select"]

COLUMNS = ("native", "best flags", "graphdebug")
"""What is compared: the framework's own output, the same with its aids on, and ours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One program in one mode."""

    program: Program
    mode: Mode


class Result(msgspec.Struct, frozen=True):
    """What was measured of one program in one mode."""

    case: str
    kind: str
    description: str
    mode: str
    static: bool
    faults: tuple[int, ...]
    columns: dict[str, Locality]
    returncodes: dict[str, int]
    """Exit codes by column; -9 where the program was killed for taking too long."""
    findings: tuple[str, ...]
    """graphdebug's findings as ``kind at line``."""
    confidence: float | None
    """Confidence of its first finding."""
    false_alarms: tuple[str, ...]
    """Findings on the clean twin: there should be none."""
    twin_returncode: int
    seconds: float
    """All five runs together."""


def select(cases: Sequence[str] = (), modes: Sequence[str] = ()) -> list[Pair]:
    """Return the pairs whose case and mode match one of the glob patterns; no patterns match all.

    Raises:
        OptionError: a pattern matches nothing.

    """
    every = [Pair(program, mode) for mode in MODES for program in programs(mode)]
    for name, patterns, known in (
        ("case", cases, sorted({pair.program.case for pair in every})),
        ("mode", modes, [mode.name for mode in MODES]),
    ):
        for pattern in patterns:
            if not any(fnmatchcase(one, pattern) for one in known):
                raise OptionError(f"no {name} matches {pattern!r}: there are {', '.join(known)}")
    return [pair for pair in every if _matches(pair.program.case, cases) and _matches(pair.mode.name, modes)]


def run_suite(
    pairs: Sequence[Pair], folder: Path, *, jobs: int = 1, done: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """Run `pairs` and return what was measured, in their order.

    Args:
        pairs: what to run.
        folder: where programs, outputs and logs are kept.
        jobs: how many programs run at a time.
        done: called with each result as it comes in.

    Raises:
        GraphDebugError: a framework can't be imported.

    """
    with ExitStack() as open_hosts, ThreadPoolExecutor(jobs) as pool:
        hosts = _Hosts(open_hosts)
        futures = {pool.submit(_run_pair, pair, folder, hosts): pair for pair in pairs}
        results: dict[Pair, Result] = {}
        for future in as_completed(futures):
            result = results[futures[future]] = future.result()
            done(result)
    return [results[pair] for pair in pairs]


class _Hosts:
    """A host for each worker thread and framework, started when it is first needed."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._hosts: dict[tuple[int, tuple[str, ...]], Host] = {}
        self._lock = threading.Lock()

    def of(self, imports: tuple[str, ...]) -> Host:
        key = threading.get_ident(), imports
        with self._lock:
            if key not in self._hosts:
                self._hosts[key] = self._stack.enter_context(Host(*imports))
            return self._hosts[key]


def _run_pair(pair: Pair, folder: Path, hosts: _Hosts) -> Result:
    host = hosts.of(pair.mode.imports)
    place = folder.resolve() / pair.mode.name.replace(" ", "_") / pair.program.case
    text = pair.program.text(pair.mode)
    script = _write(place / f"{pair.program.case}.py", text)
    log, flags = place / "faulty.jsonl", pair.program.path.with_name("_flags.py")
    runs = dict(
        zip(COLUMNS, (host.run(script), host.run(script, flags=flags), host.run(script, log=log)), strict=True)
    )
    recorded = _load(log)
    twin = _write(place / "twin" / script.name, pair.program.text(pair.mode, mended=True))
    twin_log = place / "twin.jsonl"
    twin_run = host.run(twin, log=twin_log)
    return Result(
        case=pair.program.case,
        kind=pair.program.kind,
        description=pair.program.description,
        mode=pair.mode.name,
        static=pair.mode.static,
        faults=tuple(sorted(text.faults)),
        columns=_measured(runs, script, text, recorded),
        returncodes={column: run.returncode for column, run in runs.items()},
        findings=tuple(_brief(recorded)),
        confidence=next((one.confidence for one in recorded.findings), None) if recorded is not None else None,
        false_alarms=tuple(_brief(_load(twin_log))),
        twin_returncode=twin_run.returncode,
        seconds=round(sum(run.seconds for run in (*runs.values(), twin_run)), 3),
    )


def _measured(
    runs: dict[str, Execution], script: Path, text: Text, recorded: Run | None
) -> dict[str, Locality]:
    oracle = None if recorded is None else Oracle(recorded, script, text.births)
    return {column: measure(Output(run.text, script), text, oracle) for column, run in runs.items()}


def _write(path: Path, text: Text) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.source, "utf-8")
    return path


def _load(log: Path) -> Run | None:
    try:
        return load(log)
    except LogError:
        return None  # the recorder never came to write it; the output shows why


def _brief(run: Run | None) -> Iterator[str]:
    for finding in run.findings if run is not None else ():
        yield f"{finding.kind} at {finding.site.line}" if finding.site is not None else finding.kind


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
