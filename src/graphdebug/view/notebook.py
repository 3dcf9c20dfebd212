"""A run in a notebook: what ran, what is wrong, and the first nodes, as a piece of HTML without scripts."""

from __future__ import annotations

from html import escape

from graphdebug.model.run import Run
from graphdebug.view.page import Page, page
from graphdebug.view.rows import NodeRow
from graphdebug.view.words import number_text

__all__ = ["fragment"]

_MOST = 15
_COLUMNS = ("seq", "step", "phase", "function", "module", "line", "shapes", "health", "l2", "gradient")
_BAD = "color:#c0261c"


def fragment(run: Run) -> str:
    """Return `run` as HTML; all text of the log is escaped."""
    return _draw(page(run, limit=_MOST))


def _draw(shown: Page) -> str:
    summary = shown.summary
    said = " · ".join(one for one in (summary.status, summary.frameworks, summary.counts) if one)
    parts = [f"<p><b>graphdebug run: {escape(summary.command)}</b><br>{escape(said)}</p>"]
    style = "white-space:pre-wrap;border-left:4px solid #c0261c;padding:6px 12px;text-align:left"
    parts += [f'<pre style="{style}">{escape(one.text)}</pre>' for one in shown.findings]
    if not shown.findings:
        parts.append("<p>no finding: nothing wrong was recognised</p>")
    parts += [f"<p>{escape(remark)}</p>" for remark in (*summary.remarks, *summary.damage)]
    return f'<div class="graphdebug">{"".join(parts)}{_table(shown)}</div>'


def _table(shown: Page) -> str:
    if not shown.table.rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    rows = "".join(_row(row) for row in shown.table.rows)
    caption = f"<caption>{escape(shown.table.said)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(row: NodeRow) -> str:
    texts = {
        "shapes": f"{row.shapes_in} -> {row.shapes_out}",
        "health": "" if row.health == "ok" else row.health,
        "l2": number_text(row.l2),
    }
    cells = "".join(f"<td>{escape(str(texts.get(name, getattr(row, name, ''))))}</td>" for name in _COLUMNS)
    return f'<tr style="{_BAD}">{cells}</tr>' if row.sick else f"<tr>{cells}</tr>"
