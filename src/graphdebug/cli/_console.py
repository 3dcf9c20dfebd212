"""What the viewing commands share: the terminal's width and colour, and a progress bar for what takes long."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import click

__all__ = ["busy", "color", "say", "watch", "width"]

T = TypeVar("T")

_PATIENCE = 1.0
"""Seconds after which a progress bar appears."""


def width() -> int:
    """Columns to draw for: $COLUMNS, else the terminal's, else 160 (a pipe or file)."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return max(40, int(wanted))
    return max(40, shutil.get_terminal_size((80, 24)).columns) if sys.stdout.isatty() else 160


def color() -> bool:
    """Whether to use colours: on a terminal, unless $NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """Write `text` to stdout as it is; a reader that goes away (``| head``) ends it quietly."""
    try:
        click.echo(text, nl=False, color=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def watch(items: Sequence[T]) -> Iterable[T]:
    """Pass `items` on; after a second a progress bar shows on stderr, if that is a terminal."""
    return _watched(items) if sys.stderr.isatty() else items


@contextmanager
def busy(text: str) -> Iterator[None]:
    """Say on stderr what takes a while, if that is a terminal; it is gone afterwards."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def _watched(items: Sequence[T]) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import Progress

    began, total = time.monotonic(), len(items)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=total, visible=False)
        for done, item in enumerate(items):
            if done % 5000 == 0:
                progress.update(task, completed=done, visible=time.monotonic() - began > _PATIENCE)
            yield item
