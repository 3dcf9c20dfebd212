"""graphdebug view: look at a run in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graphdebug.cli import _console
from graphdebug.loading import load

__all__ = ["command"]


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option(
    "--module",
    "modules",
    multiple=True,
    metavar="PATH",
    help="Nodes of this module (and below), or a glob pattern.",
)
@click.option(
    "--op", "ops", multiple=True, metavar="NAME", help="Nodes of this op or function, or a glob pattern."
)
@click.option("--line", metavar="FILE:NN", help="Nodes made or run by this line.")
@click.option(
    "--phase",
    "phases",
    multiple=True,
    type=click.Choice(["forward", "backward", "optimizer", "recompute", "build"]),
)
@click.option("--step", metavar="N|N-M", help="Nodes of this step, or of these steps.")
@click.option("--nonfinite", is_flag=True, help="Nodes with an output that is not finite.")
@click.option(
    "--where", metavar="EXPR", help="Nodes for which this is true, e.g. \"l2 > 100 and like(module, 'enc*')\"."
)
@click.option("--around", type=int, metavar="SEQ", help="The nodes around this one.")
@click.option(
    "--limit", type=click.IntRange(0), default=40, show_default=True, help="Most nodes to show; 0 shows all."
)
def command(log: Path, **options: Any) -> None:
    r"""Look at the run in LOG: what ran, how it ended, what is wrong, and its nodes.

    \b
    Examples:
      graphdebug view run.jsonl
      graphdebug view run.jsonl --module encoder --phase backward --nonfinite
      graphdebug view run.jsonl --where "l2 > 1e4 and step > 10"
    """
    from graphdebug.view import page, terminal

    run, wide = load(log), _console.width()
    selection = _selection(options)
    if options["around"] is not None:
        shown: Any = terminal.table_view(
            page.table_around(run, options["around"], options["limit"] or 40), wide,
            marked=frozenset({options["around"]}),
        )  # fmt: skip
    else:
        shown = terminal.page_view(
            page.page(run, selection, limit=options["limit"], watch=_console.watch), wide
        )
    _console.say(terminal.draw(shown, width=wide, color=_console.color()))


def _selection(options: dict[str, Any]) -> Any:
    from graphdebug.view.select import Selection, parse_line, parse_steps
    from graphdebug.view.where import Condition

    return Selection(
        modules=options["modules"],
        ops=options["ops"],
        line=parse_line(options["line"]) if options["line"] else None,
        phases=options["phases"],
        steps=parse_steps(options["step"]) if options["step"] else None,
        nonfinite=options["nonfinite"],
        where=Condition(options["where"]) if options["where"] else None,
    )
