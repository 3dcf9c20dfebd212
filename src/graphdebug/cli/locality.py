"""graphdebug locality: how far reports are from the fault, measured on faulty programs."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import msgspec

from graphdebug._version import VERSION
from graphdebug.errors import OptionError

__all__ = ["command"]


@click.command()
@click.option("--case", "cases", multiple=True, metavar="PATTERN", help="Only these programs, e.g. 'log_*'.")
@click.option("--mode", "modes", multiple=True, metavar="PATTERN", help="Only these modes, e.g. 'TF*'.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Programs run at a time.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the measurements here.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw static against dynamic (.svg, .png).")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the results as a Markdown page.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep programs, outputs and logs in this folder.")
@click.option("--detail/--no-detail", default=True, help="Print a row for each program.")
@click.option("--list", "only_list", is_flag=True, help="List the programs and stop.")
def command(
    cases: tuple[str, ...],
    modes: tuple[str, ...],
    jobs: int,
    json_path: Path | None,
    picture: Path | None,
    markdown: Path | None,
    keep: Path | None,
    *,
    detail: bool,
    only_list: bool,
) -> None:
    """Run the suite of faulty programs and print how far each output is from the fault.

    Example: graphdebug locality --case 'log_*' --mode 'TF*'
    """
    from rich.console import Console

    from graphdebug.locality import table
    from graphdebug.locality.markdown import page
    from graphdebug.locality.picture import check_kind, draw
    from graphdebug.locality.suite import Result, run_suite, select

    pairs = select(cases, modes)
    if only_list:
        for pair in pairs:
            click.echo(f"{pair.mode.name:14} {pair.program.case:22} {pair.program.description}")
        return
    _check((json_path, markdown, picture), keep)
    if picture is not None:
        check_kind(picture)
    counted = 0

    def report(result: Result) -> None:
        nonlocal counted
        counted += 1
        click.echo(f"[{counted}/{len(pairs)}] {result.mode}: {result.case} ({result.seconds:.1f} s)", err=True)

    with tempfile.TemporaryDirectory(prefix="graphdebug-locality-") as folder:
        results = run_suite(pairs, keep or Path(folder), jobs=jobs, done=report)
    console = Console(width=None if sys.stdout.isatty() else 180)
    if detail:
        console.print(table.detail(results))
    console.print(table.summary(results))
    for line in table.losses(results):
        click.echo(line)
    made_by = _made_by()
    if json_path is not None:
        json_path.write_bytes(msgspec.json.format(msgspec.json.encode({**made_by, "results": results})))
    if markdown is not None:
        markdown.write_text(page(results, made_by), "utf-8")
    if picture is not None:
        draw(results, picture)


def _check(files: Sequence[Path | None], folder: Path | None) -> None:
    """Refuse paths that can't be written, before the programs are run and not after."""
    for path in filter(None, files):
        if path.is_dir():
            raise OptionError(f"can't write {path}: it is a folder")
        if not path.parent.is_dir():
            raise OptionError(f"can't write {path}: there is no such folder")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise OptionError(f"can't write {path}: permission denied")
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"can't write {folder}: {error.strerror or error}") from error


def _made_by() -> dict[str, object]:
    """What a reader needs to make the same measurement again."""
    return {
        "command": shlex.join(["graphdebug", *sys.argv[1:]]),
        "graphdebug": VERSION,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("torch", "tensorflow", "tensorflow-cpu", "keras")},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
