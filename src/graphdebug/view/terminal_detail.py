"""The terminal views of one node, of the modules and of the source."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text
from rich.tree import Tree

from graphdebug.view.detail import Detail, Snippet, TensorRow
from graphdebug.view.history import History
from graphdebug.view.source import SourceFile, SourceLine
from graphdebug.view.tree import ModuleRow
from graphdebug.view.words import number_text, sparkline

__all__ = ["detail_view", "source_view", "tree_view"]

_CONTEXT = 2


def detail_view(page: Detail, width: int) -> RenderableType:
    """All about one node."""
    parts: list[RenderableType] = [Text(page.title, "bold"), _facts(page.facts), Text()]
    parts += [_snippet(page.ran), Text()] if page.ran else []
    for said, made in page.declared:
        parts.append(Text.assemble(("declared  ", "dim"), said))
        parts += [_snippet(made)] if made else []
    for name, rows in (("inputs", page.inputs), ("outputs", page.outputs), ("gradients", page.gradients)):
        if rows:
            parts += [Text(name, "bold"), _tensors(rows, width)]
    for name, lines in (("made by", page.chain), ("used by", page.consumers)):
        if lines:
            parts += [Text(name, "bold"), *(Text(f"  {said}", _style_of(said)) for _, said in lines)]
    if page.history:
        parts += [Text(_history_title(page.history), "bold"), _history(page.history, width)]
    return Group(*parts)


def _style_of(said: str) -> str:
    return "red" if any(sign in said for sign in (" nan ", "inf ", "not finite")) else ""


def _facts(facts: Sequence[tuple[str, str]]) -> RenderableType:
    grid = Grid.grid(padding=(0, 2, 0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in facts:
        grid.add_row(name, Text(text))
    return grid


def _snippet(snippet: Snippet) -> RenderableType:
    lines = [Text(f"  {snippet.title}", "cyan")]
    for number, text in snippet.lines:
        here = number == snippet.line
        lines.append(
            Text(
                f"  {'>' if here else ' '} {number:>5} | {text}",
                "bold" if here and len(snippet.lines) > 1 else "",
            )
        )
        if here and 0 <= snippet.column < snippet.end_column <= len(text):
            lines.append(Text(" " * (12 + snippet.column) + "~" * (snippet.end_column - snippet.column), "red"))
    return Group(*lines)


def _tensors(rows: Sequence[TensorRow], width: int) -> RenderableType:
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    grid.add_column(style="dim")
    for row in rows:
        what = Text.assemble((row.shape, "bold"), f" {row.dtype}")
        if row.health not in ("", "ok"):
            what.append(f"  {row.health}", "red")
        more = [what, Text(f"<- {row.origin}") if row.origin else None, Text(row.stats) if row.stats else None,
                Text(row.values) if row.values else None]  # fmt: skip
        kept = [one for one in more if one is not None]
        if cell_len("  ".join(one.plain for one in kept)) + 16 <= width:
            grid.add_row(f"  {row.role}", Text("  ").join(kept))
        else:
            grid.add_row(f"  {row.role}", Group(*kept))
    return grid


def _history_title(history: History) -> str:
    return f"over steps {history.steps[0]} to {history.steps[-1]} ({len(history.steps)} times)"


def _history(history: History, width: int) -> RenderableType:
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for name, values in history.curves:
        first, last = number_text(values[0]), number_text(values[-1])
        bars = sparkline(values, max(10, min(60, width - 40)))
        grid.add_row(f"  {name}", Text(first), Text(bars, "cyan"), Text(last))
    return grid


def tree_view(root: ModuleRow, step: int) -> RenderableType:
    """The modules as a tree."""
    return Group(Text(f"modules in step {step}", "dim"), _branch(root))


def _branch(row: ModuleRow) -> Tree:
    label = Text.assemble((row.name, "bold"), f" {row.type}" if row.type else "")
    label.append(f"  {row.nodes} node{'s' * (row.nodes != 1)}", "dim")
    label.append(f"  {row.shapes}" if row.shapes else "")
    label.append(f"  {row.health}" if row.health else "", "red")
    label.append(f"  grad {row.gradient}" if row.gradient else "", "cyan")
    label.append(f"  {row.line}" if row.line else "", "dim")
    tree = Tree(label)
    for child in row.children:
        tree.children.append(_branch(child))
    return tree


def source_view(files: Sequence[SourceFile], step: int, width: int, *, whole: bool = False) -> RenderableType:
    """The files with what ran on each line; without `whole` only the lines with something, and those around."""
    if not files:
        return Text("the log holds no source: nothing of step " + str(step) + " ran in a file of the user's")
    parts: list[RenderableType] = []
    for file in files:
        parts += [Text(f"{file.file} in step {step}", "bold"), *_lines(file, width, whole=whole), Text()]
    return Group(*parts)


def _lines(file: SourceFile, width: int, *, whole: bool) -> list[RenderableType]:
    busy = {line.number for line in file.lines if line.nodes or line.mark}
    shown = [
        line for line in file.lines
        if whole or any(near in busy for near in range(line.number - _CONTEXT, line.number + _CONTEXT + 1))
    ]  # fmt: skip
    room = min(max((cell_len(line.text) for line in shown), default=0), max(20, width // 2 - 10))
    drawn: list[RenderableType] = []
    last = 0
    for line in shown:
        if last and line.number > last + 1:
            drawn.append(Text("      ...", "dim"))
        drawn.append(_line(line, room, width))
        last = line.number
    return drawn


def _line(line: SourceLine, room: int, width: int) -> Text:
    sign = {"fault": ">>", "suspect": "> "}.get(line.mark, "  ")
    code = line.text if cell_len(line.text) <= room else line.text[: room - 1] + "…"
    text = Text(f"{sign}{line.number:>4} | ", "bold red" if line.mark else "dim")
    text.append(code + " " * (room - cell_len(code)), "bold" if line.mark else "")
    if line.nodes:
        sick = line.health not in ("", "ok") and not line.health.startswith("unchecked")
        said = [
            line.shapes,
            line.health if sick else "",
            f"{line.nodes} nodes" if line.nodes > 1 else "",
            line.time,
        ]
        text.append("  | ", "dim")
        text.append("  ".join(one for one in said if one), "red" if sick else "cyan")
    text.truncate(width, overflow="ellipsis")
    return text
