"""Running a program in its forms: natively first, which says whether the form kept the fault, then recorded."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from graphdebug.loading import load
from graphdebug.locality.hosts import Execution, Host
from graphdebug.locality.program import MODES

from . import data, flow, layers, literals
from .cases import Case
from .mutations import Mutant
from .syntax import parse, text

__all__ = ["FORMS", "Form", "Result", "mixed", "open_host", "rewritten", "run_case", "run_mutant"]

Form = Callable[..., bool]
FORMS: dict[str, Form] = {
    one.__name__: one for one in (*layers.FORMS, *literals.FORMS, *data.FORMS, *flow.FORMS)
}
"""Every form by name, in an order in which several can be applied to one program."""
_RAISED = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Warning|Exit))\b", re.M)
_NAN = re.compile(r"\bnan\b")


@dataclass(frozen=True, slots=True)
class Result:
    """What graphdebug said of a case in a form: ``first``, ``three``, ``wrong``, ``none`` or ``form``.

    ``form`` says that the rewritten program fails otherwise than the original one, so that it says nothing.
    """

    case: str
    form: str
    verdict: str
    faults: tuple[int, ...] = ()
    named: tuple[int, ...] = ()
    kind: str = ""
    alarms: tuple[str, ...] = ()

    def __str__(self) -> str:
        alarms = f"  ALARM {', '.join(self.alarms)}" if self.alarms else ""
        said = f"{self.kind} {list(self.named)} true {list(self.faults)}" if self.faults else ""
        return f"{self.case:20} {self.form:40} {self.verdict:6} {said}{alarms}"


def open_host(framework: str) -> Host:
    """Return a process that has imported what `framework` needs and forks a child for each program."""
    return Host(*next(one.imports for one in MODES if one.folder == framework))


def mixed(case: Case, number: int, chance: random.Random) -> str:
    """Return up to `number` forms, joined by ``+``, that can be applied to `case` together."""
    chosen: list[str] = []
    for form in chance.sample(list(FORMS), len(FORMS)):
        wanted = sorted([*chosen, form], key=list(FORMS).index)
        if len(chosen) < number and rewritten(case.source, case.faults, "+".join(wanted)) is not None:
            chosen = wanted
    return "+".join(chosen)


def rewritten(source: str, faults: dict[int, str | None], forms: str) -> tuple[str, frozenset[int]] | None:
    """Return `source` in `forms`, joined by ``+``, with the fault lines there; None where one says nothing."""
    tree = parse(source, faults)
    for form in forms.split("+"):
        try:
            if form != "plain" and not FORMS[form](tree):
                return None
        except SyntaxError:
            return None
    new, lines = text(tree)
    return new, lines


def run_case(case: Case, form: str, host: Host, folder: Path) -> Result | None:
    """Run `case` in `form` and its clean twin; None where the form has nothing to rewrite."""
    faulty = rewritten(case.source, case.faults, form)
    twin = rewritten(case.twin, {}, form)
    if faulty is None or twin is None:
        return None
    place = folder / case.name / form
    script, clean = _write(place / "program.py", faulty[0]), _write(place / "twin" / "program.py", twin[0])
    plain = (
        _ended(host, folder / case.name / "plain", case.source),
        _ended(host, folder / case.name / "plain" / "twin", case.twin),
    )
    if (_end(host.run(script)), _end(host.run(clean))) != plain:
        return Result(case.name, form, "form")
    log, twin_log = place / "faulty.jsonl", place / "twin.jsonl"
    host.run(script, log=log)
    host.run(clean, log=twin_log)
    return judged(case.name, form, faulty[1], log, twin_log)


def run_mutant(name: str, mutant: Mutant, host: Host, place: Path) -> Result | None:
    """Run a right program that was made wrong; None where it does not raise."""
    what, source, faults = mutant
    script, log = _write(place / "program.py", source), place / "faulty.jsonl"
    if host.run(script, timeout=40).returncode in (0, -9):
        return None
    host.run(script, log=log)
    return judged(name, what, faults, log, None)


def judged(name: str, form: str, faults: frozenset[int], log: Path, twin_log: Path | None) -> Result:
    """Return how far the diagnosis of `log` is from `faults`, and what it says of the twin."""
    findings = load(log).findings
    twin = load(twin_log).findings if twin_log is not None else ()
    alarms = tuple(f"{one.kind} {one.site.line if one.site else ''}" for one in twin)
    true = tuple(sorted(faults))
    if not findings:
        return Result(name, form, "none", true, alarms=alarms)
    first = findings[0]
    sites = [site for site in (first.site, *(one.site for one in first.candidates)) if site is not None]
    named = tuple(dict.fromkeys(site.line for site in sites if site.file.endswith("program.py")))
    rank = next((at for at, line in enumerate(named) if line in faults), None)
    verdict = "wrong" if rank is None or rank > 2 else "first" if rank == 0 else "three"
    return Result(name, form, verdict, true, named, first.kind, alarms)


def _write(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, "utf-8")
    return path


def _ended(host: Host, place: Path, source: str) -> str:
    """Return how the original ends; it is run once."""
    kept = place / "end.txt"
    if not kept.exists():
        script = _write(place / "original.py", source)
        _write(kept, _end(host.run(script)))
    return kept.read_text("utf-8")


def _end(run: Execution) -> str:
    """Return how a run ended: its exit code, the type of the exception, whether it printed a nan."""
    raised = _RAISED.findall(run.text)
    kind = raised[-1] if raised and run.returncode else ""
    return f"{run.returncode} {kind} {bool(_NAN.search(run.text))}"
