"""What the demo prints: measures side by side, then the reports, then where the logs are."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from graphdebug.demo.showing import Scene
from graphdebug.locality.table import row_of

__all__ = ["show"]

_MEASURES = (
    ("named?", "is the faulty line named at all"),
    ("rank", "its place among the lines of yours that are named"),
    ("noise", "lines of output above it, of how many"),
    ("space", "user frames between it and the innermost one"),
    ("graph", "hops in the graph from the first bad node to the one reported"),
    ("time", "what ran between the two"),
)


def show(scenes: Sequence[Scene], console: Console) -> None:
    """Print what was measured in `scenes`, the reports, and the commands to look further."""
    console.print(_table(scenes))
    console.print("  ".join(f"{word}: {meaning}." for word, meaning in _MEASURES), soft_wrap=False)
    for scene in scenes:
        console.print()
        console.rule(f"{scene.script.name} ({scene.mode.name})", align="left")
        faults = ", ".join(map(str, scene.faults))
        console.print(f"{scene.program.description}; faulty: line {faults}", soft_wrap=True)
        findings = scene.run.findings if scene.run is not None else ()
        text = findings[0].text if findings else "graphdebug: no finding"
        console.print(text, markup=False, soft_wrap=True)
    console.print()
    for scene in scenes:
        log = os.path.relpath(scene.log)
        console.print(f"graphdebug view {log}    graphdebug explain {log}", markup=False, soft_wrap=True)


def _table(scenes: Sequence[Scene]) -> Table:
    title = "How far the output is from the faulty line, measured now"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("program", "graph", "output", *(word for word, _ in _MEASURES)):
        table.add_column(heading, no_wrap=True)
    for scene in scenes:
        graph = "static" if scene.mode.static else "dynamic"
        table.add_row(scene.script.name, graph, "native", *row_of(scene.native))
        table.add_row("", "", "graphdebug", *row_of(scene.ours))
        table.add_section()
    return table
