"""graphdebug demo: one fault in a dynamic and in a static graph, and what one is told about it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from graphdebug.errors import GraphDebugError

__all__ = ["command"]


@click.command()
@click.option("-o", "--output", "folder", default="graphdebug-demo", type=click.Path(path_type=Path),
              show_default=True, help="Folder for the programs and logs.")  # fmt: skip
def command(folder: Path) -> None:
    """Run a CNN for 28x28 images on 100x100 ones, in PyTorch and in a TF1 session, and compare the reports.

    Example: graphdebug demo -o /tmp/demo
    """
    from rich.console import Console

    from graphdebug.demo.page import show
    from graphdebug.demo.showing import PARTS, missing, play

    console = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
    present = [part for part in PARTS if not missing(part)]
    for part in PARTS:
        if part not in present:
            click.echo(f"{part.mode.imports[0]} is not installed, its half is left out: {part.install}")
    if not present:
        raise GraphDebugError("the demo needs a framework: pip install 'graphdebug[all]'")
    programs = sum(len(part.programs) for part in present)
    click.echo(f"running {programs} programs in {folder}, each without and with graphdebug ...")
    try:
        scenes = play(folder, present, jobs=min(4, os.cpu_count() or 1))
    except OSError as error:
        raise GraphDebugError(f"can't write the demo to {folder}: {error.strerror}; choose with -o") from error
    show(scenes, console)
