"""graphdebug export: a run in a format that another tool reads."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from graphdebug.cli import _console
from graphdebug.errors import OptionError
from graphdebug.loading import load

__all__ = ["command"]

_FORMATS = ("chrome", "csv", "github", "parquet", "perfetto", "sarif", "tensorboard")


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--to", "form", required=True, type=click.Choice(_FORMATS), help="The format to write.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="File to write, or folder for parquet and tensorboard; default: the log's name with another ending.",
)  # fmt: skip
def command(log: Path, form: str, output: Path | None) -> None:
    """Write the run in LOG for another tool.

    \b
    chrome, perfetto  a time line for https://ui.perfetto.dev
    parquet           typed tables by rank and step for DuckDB, Polars, Spark, Ray
    tensorboard       scalars and histograms over the steps
    sarif, github     findings on source lines
    csv               the node table for a spreadsheet

    \b
    Examples:
      graphdebug export run.jsonl --to perfetto -o trace.json
      graphdebug export logs/ --to parquet -o tables
    """  # noqa: D301 -- click wants the character, not two
    run = load(log)
    module = importlib.import_module(f"graphdebug.export.{form}")
    target = output or log.with_name(log.stem + module.SUFFIX)
    if target.resolve() == log.resolve():
        raise OptionError(f"{target} is the log itself: give another name with -o")
    try:
        said = module.write(run, target, _console.watch)
    except OptionError:
        raise
    except OSError as error:
        raise OptionError(f"can't write {target}: {error.strerror or error}") from error
    click.echo(f"wrote {target}: {said}")
    for line in run.damage:
        click.echo(f"graphdebug: {line}", err=True)
