"""graphdebug run: an unmodified program under the recorder."""

from __future__ import annotations

import os
from pathlib import Path

import click

from graphdebug.cli import ProgramEnded
from graphdebug.model.event import Level
from graphdebug.recording import Recording, record
from graphdebug.running import Module, Program, Script, run, show_without_our_frames

__all__ = ["command"]


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-o", "--output", "log", type=click.Path(path_type=Path), metavar="LOG",
              help="The log to write; default: <script>.graphdebug.jsonl here.")  # fmt: skip
@click.option("--level", default="health", help="shapes, health (default), stats or values.")
@click.option("--allow", multiple=True, metavar="PATTERN",
              help="May give NaN or Inf: a function, op, module, node name or file.py:line.")  # fmt: skip
@click.option("-m", "as_module", is_flag=True, help="PROGRAM is a module, as in python -m.")
@click.argument("program")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(
    program: str, args: tuple[str, ...], log: Path | None, level: Level, allow: tuple[str, ...], *,
    as_module: bool,
) -> None:  # fmt: skip
    """Run PROGRAM with its ARGS under the recorder; it behaves and exits as without it.

    Example: graphdebug run -o run.jsonl train.py --epochs 2
    """
    target: Program = (Module if as_module else Script)(program, list(args))
    recording = record(log or Path(f"{target.name}.graphdebug.jsonl"), level=level, allow=allow)
    pid, error = os.getpid(), run(target, recording)
    where = ""
    if os.getpid() == pid:  # a forked child of the program may end here too: it has no log of its own
        where = f"graphdebug: the log is {recording.path}: graphdebug view {recording.path}"
    if error is None or isinstance(error, SystemExit):
        if where:
            _report(recording)
            click.echo(where, err=True)
    else:
        show_without_our_frames(after=where if recording.start is not None else "")
    if error is not None:
        raise ProgramEnded(error)


def _report(recording: Recording) -> None:
    """Show the first finding of a program that ended without an exception."""
    try:
        findings = recording.findings
    except Exception as trouble:
        click.echo(f"graphdebug could not look for faults ({type(trouble).__name__}: {trouble})", err=True)
        return
    if findings:
        click.echo(findings[0].text, err=True)
