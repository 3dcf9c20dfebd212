"""The terminal view: pages as text of a given width, in colour or plain."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from graphdebug.view.page import FindingRow, Page, Summary, Table
from graphdebug.view.rows import NodeRow
from graphdebug.view.words import number_text

__all__ = ["draw", "findings_view", "page_view", "selection_view", "table_view"]

_SHORT_PHASE = {"forward": "fwd", "backward": "bwd", "optimizer": "opt", "recompute": "rec", "build": "build"}


@dataclass(frozen=True)
class _Column:
    name: str
    right: bool = False
    from_width: int = 0
    """Width of the terminal from which on the column is shown."""
    yields: bool = False
    """Whether it may be cut where the table is too wide."""
    keeps_end: bool = False
    """Whether the end of its text says more than the beginning."""


_COLUMNS = (
    _Column("seq", right=True),
    _Column("step", right=True),
    _Column("rank", right=True),
    _Column("phase"),
    _Column("op", yields=True),
    _Column("module", from_width=70, yields=True, keeps_end=True),
    _Column("line", yields=True, keeps_end=True),
    _Column("shapes", yields=True),
    _Column("health"),
    _Column("min", right=True, from_width=125),
    _Column("max", right=True, from_width=125),
    _Column("mean", right=True, from_width=140),
    _Column("l2", right=True, from_width=105),
    _Column("gradient", right=True, from_width=95),
)
_NARROWEST = 8


def draw(view: RenderableType, *, width: int, color: bool) -> str:
    """Return `view` as text that fits `width` columns, with ANSI colours or without."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=color, color_system="standard" if color else None,
        no_color=not color, highlight=False, markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    console.print(view)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def page_view(page: Page, width: int) -> RenderableType:
    """The first screen: what ran, what is wrong, the nodes."""
    nodes = table_view(page.table, width, marked=_evidence(page.findings))
    return Group(summary_view(page.summary), Text(), findings_view(page.findings), Text(), nodes)


def selection_view(summary: Summary, table: Table, width: int) -> RenderableType:
    """What ran, and some of its nodes."""
    return Group(summary_view(summary), Text(), table_view(table, width))


def _evidence(findings: Sequence[FindingRow]) -> frozenset[int]:
    return frozenset(seq for finding in findings for seq in finding.evidence)


def summary_view(summary: Summary) -> RenderableType:
    """What ran, where, and how it ended."""
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    bad = not summary.status.startswith("completed") or "; " in summary.status
    rows = [
        ("ran", Text(summary.command, "bold")),
        ("where", Text(summary.place)),
        ("started", Text(summary.started)),
        ("ended", Text(summary.status, "red" if bad else "green")),
        ("recorded", Text(f"{summary.counts}; level {summary.level or 'unknown'}; {summary.frameworks}")),
        *(("note", Text(remark, "yellow")) for remark in summary.remarks),
    ]
    for name, text in rows:
        if text.plain:
            grid.add_row(name, text)
    return grid


def findings_view(findings: Sequence[FindingRow]) -> RenderableType:
    """All findings, or that there is none."""
    if not findings:
        return Text("no finding: nothing wrong was recognised", "green")
    parts: list[RenderableType] = []
    for finding in findings:
        parts += [Text(), finding_view(finding)] if parts else [finding_view(finding)]
    return Group(*parts)


def finding_view(finding: FindingRow) -> RenderableType:
    """A finding's text, its first line loud."""
    first, _, rest = finding.text.partition("\n")
    return Group(Text(first, "bold red"), Text(rest)) if rest else Text(first, "bold red")


def table_view(table: Table, width: int, *, marked: frozenset[int] = frozenset()) -> RenderableType:
    """Nodes as a table that fits `width`; the `marked` ones and the sick ones stand out."""
    said = Text(table.said, "dim")
    if not table.rows:
        return said
    columns = [one for one in _COLUMNS if width >= one.from_width and _is_filled(one.name, table.rows)]
    cells = [[_cell(row, column.name) for column in columns] for row in table.rows]
    widths = _fit(columns, cells, width - 2 * bool(marked))
    grid = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    if marked:
        grid.add_column("", width=1)
    for column, wide in zip(columns, widths, strict=True):
        grid.add_column(
            column.name, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis",
            width=wide,
        )  # fmt: skip
    for row, texts in zip(table.rows, cells, strict=True):
        shown = [Text(">" if row.seq in marked else "")] if marked else []
        shown += [
            Text(crop(text, wide) if column.keeps_end else text)
            for text, column, wide in zip(texts, columns, widths, strict=True)
        ]
        grid.add_row(*shown, style=_row_style(row, marked))
    return Group(said, grid)


def _fit(columns: Sequence[_Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Widths of the columns: as wide as their texts; where that is too much, the widest that may yield do."""
    widths = [max(len(column.name), *(cell_len(row[at]) for row in cells)) for at, column in enumerate(columns)]
    while sum(widths) + len(widths) > width:
        yielding = [at for at, column in enumerate(columns) if column.yields and widths[at] > _NARROWEST]
        if not yielding:
            break
        widths[max(yielding, key=lambda at: widths[at])] -= 1
    return widths


def crop(text: str, width: int) -> str:
    """Return the end of `text`, at most `width` columns of it."""
    return text if cell_len(text) <= width else "…" + text[len(text) - width + 1 :]


def _is_filled(name: str, rows: Sequence[NodeRow]) -> bool:
    if name == "module":
        return any(row.module for row in rows)
    if name == "rank":
        return any(row.rank is not None for row in rows)
    if name in ("min", "max", "mean", "l2", "gradient", "health"):
        return any(_cell(row, name) for row in rows)
    return True


def _cell(row: NodeRow, name: str) -> str:
    if name == "shapes":
        return f"{row.shapes_in} -> {row.shapes_out}" if row.shapes_in else f"-> {row.shapes_out}"
    if name == "phase":
        return _SHORT_PHASE.get(row.phase, row.phase)
    if name == "op":
        return row.function or row.op
    if name == "health":
        return _health(row)
    value = getattr(row, name)
    return number_text(value) if name in ("min", "max", "mean", "l2") else str(value)


def _health(row: NodeRow) -> str:
    """What is wrong or special; why something is unchecked is said with --seq."""
    health = "" if row.health == "ok" else row.health.partition(":")[0]
    if row.execution == "executed":
        return health
    return f"{row.execution} {health}".strip() if row.sick and health else row.execution


def _row_style(row: NodeRow, marked: frozenset[int]) -> str:
    if row.sick:
        return "bold red" if row.seq in marked else "red"
    return "bold yellow" if row.seq in marked else ""
