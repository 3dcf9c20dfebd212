"""graphdebug browse: look through a run interactively."""

from __future__ import annotations

from pathlib import Path

import click

from graphdebug.errors import GraphDebugError, OptionError
from graphdebug.loading import load

__all__ = ["command"]


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--seq", type=int, metavar="N", help="The node to start at.")
def command(log: Path, *, seq: int | None) -> None:
    """Look through the run in LOG: its nodes step by step, and all about each.

    \b
    Keys: / search   p producer   c consumer   [ ] the same node a step back or on
          n next not finite   f finding   b back   q quit

    Example: graphdebug browse run.jsonl --seq 41
    """  # noqa: D301 -- click wants the character, not two
    try:
        from graphdebug.view.browse import Browser
    except ImportError as error:
        if not (error.name or "").startswith("textual"):
            raise
        raise GraphDebugError(
            "browse needs textual: install it with `pip install 'graphdebug[browse]'`"
        ) from error
    run = load(log)
    if seq is not None and run.node(seq) is None:
        raise OptionError(f"there is no node with seq {seq} in this log")
    if not run.nodes:
        raise OptionError(f"{log} has no nodes to browse: look at it with graphdebug view")
    Browser(run, seq).run()
