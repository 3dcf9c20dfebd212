"""CSV: the node table for spreadsheets; no cell of it can become a formula."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from graphdebug.model.run import Run
from graphdebug.view.rows import NodeRow, node_row
from graphdebug.view.select import Watch

__all__ = ["SUFFIX", "write"]

SUFFIX = ".csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(run: Run, output: Path, watch: Watch) -> str:
    """Write one row a node with a header; return what was written."""
    gradients = {one.node: one.fact for one in run.gradients if one.node is not None}
    names = NodeRow.__struct_fields__
    with output.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(names)
        for node in watch(run.nodes):
            row = node_row(node, gradients.get(node.seq), run.rank(node))
            table.writerow([_cell(getattr(row, name)) for name in names])
    return f"{len(run.nodes):,} nodes"


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would run gets an apostrophe before it (as OWASP advises); numbers stay."""
    if isinstance(value, str) and value.startswith(_FORMULA) and value not in ("-Infinity", "-inf"):
        return "'" + value
    return value
