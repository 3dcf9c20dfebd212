"""graphdebug view: look at a run in the terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from graphdebug.cli import _console
from graphdebug.errors import OptionError
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
    "--seq", type=int, metavar="N", help="All about one node: tensors, producers, consumers, history."
)
@click.option("--tree", is_flag=True, help="The modules as a tree, for one step.")
@click.option("--source", is_flag=True, help="The source, annotated line by line, for one step.")
@click.option("--follow", is_flag=True, help="Show nodes as a running program records them.")
@click.option(
    "--limit", type=click.IntRange(0), default=40, show_default=True, help="Most nodes to show; 0 shows all."
)
def command(log: Path, **options: Any) -> None:
    """Look at the run in LOG: what ran, how it ended, what is wrong, and its nodes.

    \b
    Examples:
      graphdebug view run.jsonl
      graphdebug view run.jsonl --module encoder --phase backward --nonfinite
      graphdebug view run.jsonl --where "l2 > 1e4 and step > 10"
      graphdebug view run.jsonl --seq 41
      graphdebug view run.jsonl --tree --step 3
    """  # noqa: D301 -- click wants the character, not two
    from graphdebug.view import page, terminal

    selection = _selection(options)
    if options["follow"]:
        _follow(log, selection)
        return
    run, wide = load(log), _console.width()
    view = _other_view(run, options, selection, wide)
    if view is None and not selection.is_empty():
        nodes = page.table(run, selection, limit=options["limit"], watch=_console.watch)
        view = terminal.selection_view(page.summary(run), nodes, wide)
    elif view is None and len(run.events) > _LARGE:
        nodes = page.table(run, selection, limit=options["limit"], watch=_console.watch)
        _show(terminal.selection_view(page.summary(run), nodes, wide))
        with _console.busy(f"diagnosing {len(run.events):,} events"):
            view = terminal.findings_view(page.finding_rows(run.findings))
    _show(view or terminal.page_view(page.page(run, limit=options["limit"]), wide))
    for line in run.damage:
        click.echo(f"graphdebug: {line}", err=True)


_LARGE = 150_000
"""Events from which on the nodes are shown before the findings, which then take more than a second."""


def _show(view: Any) -> None:
    from graphdebug.view import terminal

    _console.say(terminal.draw(view, width=_console.width(), color=_console.color()))


def _other_view(run: Any, options: dict[str, Any], selection: Any, wide: int) -> Any:
    """What one of the options --around, --seq, --tree and --source asks for; None without them."""
    from graphdebug.view import detail, page, source, terminal, terminal_detail, tree

    if options["around"] is not None:
        seq = options["around"]
        shown = page.table_around(run, seq, options["limit"] or 40)
        return terminal.table_view(shown, wide, marked=frozenset({seq}))
    if options["seq"] is not None:
        about = detail.detail(run, options["seq"])
        if about is None:
            raise OptionError(f"there is no node or failure with seq {options['seq']} in this log")
        return terminal_detail.detail_view(about, wide)
    if not options["tree"] and not options["source"]:
        return None
    step = selection.steps[0] if selection.steps else page.last_step(run)
    if step is None:
        raise OptionError("this log has no nodes")
    if options["tree"]:
        return terminal_detail.tree_view(tree.module_tree(run, step), step)
    return terminal_detail.source_view(source.annotated_sources(run, step), step, wide)


def _follow(log: Path, selection: Any) -> None:
    """Write nodes as they come, until the run ends or the reader has enough (Ctrl-C)."""
    from graphdebug.view import follow, terminal

    wide = _console.width()
    try:
        for table in follow.follow(log, selection, wait=lambda: time.sleep(_PAUSE)):
            _show(terminal.table_view(table, wide))
    except KeyboardInterrupt:
        click.echo("", err=True)


_PAUSE = 0.3
"""Seconds between two looks at a log that is being written."""


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
