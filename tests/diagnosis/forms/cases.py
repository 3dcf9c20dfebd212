"""Faulty programs with their fault lines: those of the locality suite, and marked files of a blind judge."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from graphdebug.locality.program import MODES, Program, programs

__all__ = ["Case", "from_file", "of_suite"]

_SUITE_MARK = re.compile(r"[ ]*# FAULT\b(?::[ ]?(.*))?$")
_MARK = re.compile(r"^(.*?)\s*((?:#@(?:fault|del|fix:).*)?)$")
_ADDED = re.compile(r"^(\s*)#@\+ ?(.*)$")


@dataclass(frozen=True, slots=True)
class Case:
    """A faulty program, its fault lines with what mends each where that is one line, and its clean twin."""

    name: str
    framework: str
    source: str
    faults: dict[int, str | None]
    twin: str


def of_suite(framework: str) -> list[Case]:
    """Return the suite's programs for `framework`: ``torch``, ``tf1`` or ``tf2``, not compiled."""
    mode = next(one for one in MODES if one.folder == framework)
    return [_suite_case(one, framework) for one in programs(mode)]


def _suite_case(program: Program, framework: str) -> Case:
    mode = next(one for one in MODES if one.folder == framework)
    lines = enumerate(program.path.read_text("utf-8").splitlines(), start=1)
    faults = {number: mark[1] for number, line in lines if (mark := _SUITE_MARK.search(line))}
    twin = program.text(mode, mended=True).source
    return Case(program.case, framework, program.text(mode).source, faults, twin)


def from_file(path: Path) -> Case:
    """Return a judge's case: ``#@case id | framework``, then ``#@fault``, ``#@del``, ``#@fix:``, ``#@+``."""
    head, *lines = path.read_text("utf-8").split("\n")
    name, framework = (one.strip() for one in head.removeprefix("#@case").split("|")[:2])
    faulty: list[str] = []
    twin: list[str] = []
    faults: dict[int, str | None] = {}
    for line in lines:
        if added := _ADDED.match(line):
            indent, code = added.groups()
            twin.append(code if code.startswith(" ") else indent + code)
            continue
        found = _MARK.match(line)
        code, mark = found.groups() if found else (line, "")
        faulty.append(code if mark else line)
        _, fixed, new = mark.partition("#@fix:")
        if "#@fault" in mark:
            faults[len(faulty)] = new.strip() if fixed else None
        if "#@del" not in mark:
            twin.append(re.match(r"\s*", code)[0] + new.strip() if fixed else faulty[-1])  # type: ignore[index]
    return Case(name, framework, "\n".join(faulty), faults, "\n".join(twin))
