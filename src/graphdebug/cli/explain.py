"""graphdebug explain: the findings of a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from graphdebug.diagnosis import diagnose
from graphdebug.loading import load
from graphdebug.model.finding import Finding
from graphdebug.model.run import Run

__all__ = ["command"]


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON (docs/findings.md).")
@click.option("--allow", multiple=True, metavar="PATTERN",
              help="May give NaN or Inf: a function, op, module, node name or file.py:line.")  # fmt: skip
def command(log: Path, allow: tuple[str, ...], *, as_json: bool) -> None:
    """Say what went wrong in LOG and on which line it was born.

    Example: graphdebug explain run.jsonl --json
    """
    run = load(log)
    findings = diagnose(run, allow=allow) if allow else run.findings
    if as_json:
        shown = {"findings": [_whole(one) for one in findings]}
        click.echo(msgspec.json.format(msgspec.json.encode(shown)).decode())
    else:
        for finding in findings:
            click.echo(finding.text + "\n")
        if not findings:
            click.echo(f"graphdebug: nothing wrong was found in {log}")
            if _trained(run):
                click.echo(
                    "graphdebug: steps of a wrong size for their weights show only in a run recorded "
                    "with the level stats"
                )
    for damage in run.damage:
        click.echo(f"graphdebug: {damage}", err=True)


def _trained(run: Run) -> bool:
    """Whether an optimizer stepped in a run that kept no statistics of gradients."""
    level = run.start.options.get("level") if run.start is not None else ""
    return level in ("shapes", "health") and any("lr" in one.attributes for one in run.declarations)


def _whole(finding: Finding) -> dict[str, Any]:
    """Return a finding with all its keys, those with their default value too: the contract has no holes."""
    return {name: msgspec.to_builtins(getattr(finding, name)) for name in finding.__struct_fields__}
