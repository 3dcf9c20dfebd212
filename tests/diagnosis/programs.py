"""Running the programs of a table under the recorder, and what must hold of each faulty and each clean one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import graphdebug

MARK = "# <- fault"
_DOCS = (Path(__file__).parents[2] / "docs" / "findings.md").read_text()
KINDS = {
    kind
    for line in _DOCS.partition("## Kinds")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| `")
    for kind in re.findall(r"`(\w+)`", line.split("|")[1])
}
"""The kinds of findings that the documentation knows."""
WIDEST = 250
"""Characters of the longest line of a report."""


def programs(module):
    """The public functions of a table, by name."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    }


def marked_lines(module, name):
    """The numbers of the marked lines in one program and the helpers of its table that it uses."""
    used, waiting = set(), [name]
    while waiting:
        one = waiting.pop()
        if one not in used and inspect.getmodule(getattr(module, one, None)) is module:
            used.add(one)
            waiting += re.findall(r"\w+", inspect.getsource(getattr(module, one)))
    numbered = (
        (number, line)
        for one in used
        for lines, first in [inspect.getsourcelines(getattr(module, one))]
        for number, line in enumerate(lines, first)
    )
    return {number for number, line in numbered if MARK in line}


def recorded(program, path=None, **options):
    """The run of `program`, and the exception it ended with."""
    run = graphdebug.record(path, **options)
    try:
        with run:
            program()
    except Exception as error:
        return run, error
    return run, None


def assert_named_first(module, name, kind, folder):
    """The marked line is named first, within 15 lines, the same live, on the exception and from the file."""
    log = folder / "run.jsonl"
    run, error = recorded(programs(module)[name], log)
    found = run.findings
    assert found, f"nothing was found ({error!r})"
    first = found[0]
    assert first.site is not None
    assert first.site.file == module.__file__
    assert first.site.line in marked_lines(module, name), first.text
    assert kind is None or first.kind == kind
    assert f":{first.site.line}" in first.text.splitlines()[0]
    for one in found:
        assert_well_told(one)
    if error is not None:
        assert error.__notes__[-1] == first.text
    again = graphdebug.load(log).findings
    assert [(one.kind, one.site, one.text) for one in again] == [
        (one.kind, one.site, one.text) for one in found
    ]


def assert_well_told(finding):
    """The report has at most 15 lines: a headline, the source, what was found and expected, what to try."""
    head, *rest = finding.text.splitlines()
    assert head.startswith("graphdebug: ")
    assert finding.kind in KINDS
    assert len(rest) < 15
    assert max(map(len, (head, *rest))) <= WIDEST, finding.text
    ways = [line for line in rest if line.startswith("  try: ")]
    around = re.compile(r" *\d+ \|  | +~+$|  (?:or|try|full record): ")
    evidence = [line for line in rest if not around.match(line)]
    assert len(ways) == 1, finding.text
    assert evidence, finding.text


def assert_not_accused(module, name):
    """Nothing is found, and nothing failed."""
    run, error = recorded(programs(module)[name])
    assert error is None
    assert [one.text for one in run.findings] == []
