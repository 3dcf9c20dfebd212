"""graphdebug repro: a small script that fails the way the recorded run did."""

from __future__ import annotations

from pathlib import Path

import click

from graphdebug.errors import GraphDebugError
from graphdebug.loading import load
from graphdebug.repro import write_repro

__all__ = ["command"]


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("-o", "--output", "script", type=click.Path(path_type=Path), help="Default: <log>.repro.py here.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def command(log: Path, script: Path | None, *, force: bool) -> None:
    """Write a stand-alone script that makes the failing call of LOG again.

    Example: graphdebug repro run.jsonl && python run.repro.py
    """
    run = load(log)
    target = script or Path(f"{log.stem}.repro.py")
    if target.exists() and not force:
        raise GraphDebugError(f"will not overwrite {target} without --force")
    try:
        written = write_repro(run, log, target)
    except OSError as error:
        raise GraphDebugError(f"can't write {target}: {error.strerror}; choose another with -o") from error
    click.echo(f"wrote {target}" + "".join(f" and {file}" for file in written.tensors))
    if written.guessed:
        names = ", ".join(written.guessed)
        click.echo(f"the values of {names} were not recorded: --level values saves them")
