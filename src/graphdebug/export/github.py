"""GitHub annotations: findings as workflow commands; printed in a job, they mark the source lines."""

from __future__ import annotations

from pathlib import Path

from graphdebug.export.sarif import relative
from graphdebug.model.finding import Finding
from graphdebug.model.run import Run
from graphdebug.view.select import Watch
from graphdebug.view.words import clean

__all__ = ["SUFFIX", "write"]

SUFFIX = ".txt"


def write(run: Run, output: Path, watch: Watch) -> str:  # noqa: ARG001 - all exports are called alike
    """Write a line a finding (``cat`` it in a job); return what was written."""
    cwd = run.start.cwd if run.start else ""
    output.write_text("".join(_command(one, cwd) for one in run.findings), "utf-8")
    return f"{len(run.findings)} annotation{'s' * (len(run.findings) != 1)}"


def _command(finding: Finding, cwd: str) -> str:
    title, _, rest = clean(finding.text, lines=True).partition("\n")
    place = [f"title={_property(title)}"]
    if finding.site is not None:
        place = [f"file={_property(relative(finding.site.file, cwd))}", f"line={finding.site.line}", *place]
    return f"::error {','.join(place)}::{_data(rest or title)}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
