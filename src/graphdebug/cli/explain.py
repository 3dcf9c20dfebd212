"""graphdebug explain: the findings of a recorded run."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from graphdebug.loading import load

__all__ = ["command"]


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON (docs/findings.md).")
def command(log: Path, *, as_json: bool) -> None:
    """Say what went wrong in LOG and on which line it was born.

    Example: graphdebug explain run.jsonl --json
    """
    run = load(log)
    findings = run.findings
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"findings": findings})).decode())
    else:
        for finding in findings:
            click.echo(finding.text + "\n")
        if not findings:
            click.echo(f"graphdebug: nothing wrong was found in {log}")
    for damage in run.damage:
        click.echo(f"graphdebug: {damage}", err=True)
