"""SARIF 2.1.0: findings on source lines, for code hosts and editors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from graphdebug._version import VERSION
from graphdebug.model.event import Site
from graphdebug.model.finding import Finding
from graphdebug.model.run import Run
from graphdebug.view.select import Watch
from graphdebug.view.words import clean

__all__ = ["SUFFIX", "relative", "write"]

SUFFIX = ".sarif"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def write(run: Run, output: Path, watch: Watch) -> str:  # noqa: ARG001 - all exports are called alike
    """Write the findings as SARIF; return what was written."""
    cwd = run.start.cwd if run.start else ""
    kinds = sorted({one.kind for one in run.findings})
    driver = {
        "name": "graphdebug", "version": VERSION,
        "rules": [{"id": kind, "name": "".join(part.title() for part in kind.split("_"))} for kind in kinds],
    }  # fmt: skip
    results = [_result(one, cwd) for one in run.findings]
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    output.write_bytes(msgspec.json.format(msgspec.json.encode(log)) + b"\n")
    return f"{len(results)} finding{'s' * (len(results) != 1)}"


def relative(file: str, cwd: str) -> str:
    """Return `file` as seen from the folder that the program ran in, where it is below that."""
    below = os.path.relpath(file, cwd) if cwd and os.path.isabs(file) else file
    return file if below.startswith("..") else below


def _result(finding: Finding, cwd: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.kind, "level": "error", "message": {"text": clean(finding.text, lines=True)},
        "locations": [_location(finding.site, cwd)] if finding.site else [],
        "rank": round(100 * finding.confidence, 1),
    }  # fmt: skip
    others = [one for one in finding.candidates if one.site != finding.site]
    if others:
        result["relatedLocations"] = [
            {"id": number, "message": {"text": clean(one.why)}, **_location(one.site, cwd)}
            for number, one in enumerate(others, 1)
        ]
    return result


def _location(site: Site, cwd: str) -> dict[str, Any]:
    region = {"startLine": max(1, site.line)}
    if site.column >= 0:
        region["startColumn"] = site.column + 1
        if site.end_column >= 0 and site.end_line >= site.line:
            region |= {"endLine": site.end_line, "endColumn": site.end_column + 1}
    return {
        "physicalLocation": {"artifactLocation": {"uri": quote(relative(site.file, cwd))}, "region": region}
    }
