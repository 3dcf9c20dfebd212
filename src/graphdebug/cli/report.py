"""graphdebug report: a run, or two side by side, as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from graphdebug.cli import _console
from graphdebug.errors import OptionError
from graphdebug.loading import load

__all__ = ["command"]


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOG [LOG]")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True,
    help="File to write.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the file even if it is not a report.")
def command(logs: tuple[Path, ...], output: Path, *, force: bool) -> None:
    """Write the run in LOG as one HTML file that needs no network; two LOGs are shown side by side.

    \b
    Examples:
      graphdebug report run.jsonl -o report.html
      graphdebug report eager.jsonl static.jsonl -o both.html
    """  # noqa: D301 -- click wants the character, not two
    if len(logs) > 2:
        raise OptionError(f"report takes one log or two to compare, not {len(logs)}")
    from graphdebug.view.compare import compare
    from graphdebug.view.html import html
    from graphdebug.view.report import report

    runs = [load(log) for log in logs]
    with _console.busy("diagnosing"):
        for run in runs:
            _ = run.findings
    most = 100_000 // len(runs)
    reports = [
        report(run, str(log), most_nodes=most, watch=_console.watch)
        for run, log in zip(runs, logs, strict=True)
    ]
    text = html(reports, compare(*runs) if len(runs) == 2 else None)
    _write(output, text, force=force)
    said = [one.nodes.said for one in reports if one.nodes.said]
    click.echo(
        f"wrote {output} ({len(text.encode()) / 1e6:.1f} MB)"
        + (f"; it holds {'; '.join(said)}" if said else "")
    )
    for run in runs:
        for line in run.damage:
            click.echo(f"graphdebug: {line}", err=True)


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        if output.exists() and output.stat().st_size and not force and not _is_report(output):
            raise OptionError(
                f"{output} exists and is not a report: choose another file, or overwrite it with --force"
            )
        output.write_text(text, "utf-8")
    except OptionError:
        raise
    except OSError as error:
        raise OptionError(f"can't write {output}: {error.strerror or error}") from error


def _is_report(output: Path) -> bool:
    with output.open("rb") as file:
        return b" - graphdebug</title>" in file.read(4096)
