"""Tables of measured locality: one of totals by mode, one with a row a program, one of what was lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from rich import box
from rich.table import Table

from graphdebug.locality.metrics import Locality
from graphdebug.locality.suite import COLUMNS, Result

__all__ = ["TOTALS", "detail", "losses", "row_of", "summary", "totals"]

_OWN = COLUMNS[-1]
TOTALS = (
    "programs",
    "named",
    "first",
    "in first 3",
    "median lines above",
    "of",
    "median hops",
    "median nodes later",
)


def summary(results: Sequence[Result]) -> Table:
    """Return totals by mode: how often the fault is named, first, among three; medians over the hits."""
    table = Table(title="Where the fault line is named, by mode", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("mode", "output of", *TOTALS):
        table.add_column(heading, justify="right" if heading in TOTALS else "left")
    modes = list(dict.fromkeys(result.mode for result in results))
    for mode in [*modes, "all"]:
        chosen = [result for result in results if mode in (result.mode, "all")]
        for column in COLUMNS:
            table.add_row(mode if column == COLUMNS[0] else "", column, *totals(chosen, column))
        table.add_section()
    return table


def detail(results: Sequence[Result]) -> Table:
    """Return a row for each program in each mode: ``rank (lines above/all)`` by column."""
    table = Table(
        title="Rank of the fault line (output lines above it / in all)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("mode", "program", "kind", *COLUMNS, "hops", "finding", "twin"):
        table.add_column(heading)
    for result in results:
        own = result.columns[_OWN]
        table.add_row(
            result.mode,
            result.case,
            result.kind,
            *(_rank(result.columns[column]) for column in COLUMNS),
            _known(own.graph),
            "; ".join(result.findings[:2]) or "-",
            "; ".join(result.false_alarms) or "clean",
        )
    return table


def losses(results: Iterable[Result]) -> list[str]:
    """Return a line for each pair where graphdebug does not name the fault first, or accuses a clean twin."""
    lines = []
    for result in results:
        own = result.columns[_OWN]
        if own.rank != 1:
            native = result.columns[COLUMNS[0]].rank
            said = f"fault line {'never named' if own.rank is None else f'named at place {own.rank}'}"
            lines.append(f"{result.case} in {result.mode}: {said}; natively {_known(native)}")
        if result.false_alarms:
            lines.append(f"{result.case} in {result.mode}: its clean twin is accused: {result.false_alarms[0]}")
    return lines


def row_of(locality: Locality) -> list[str]:
    """Return the metrics of one output as words: hit, rank, noise, space, graph, time."""
    later = "-" if locality.nodes is None else f"{locality.nodes} nodes"
    if locality.nodes and locality.seconds is not None:
        later += f", {locality.seconds * 1000:.1f} ms"
    return [
        "yes" if locality.hit else "no",
        _known(locality.rank),
        f"{_known(locality.noise)} of {locality.lines}",
        _known(locality.space),
        _known(locality.graph),
        later,
    ]


def totals(results: Sequence[Result], column: str) -> list[str]:
    """Return the words under `TOTALS` for one column of `results`."""
    found = [result.columns[column] for result in results]
    return [
        str(len(found)),
        _share(sum(one.hit for one in found), len(found)),
        _share(sum(one.rank == 1 for one in found), len(found)),
        _share(sum(one.rank is not None and one.rank <= 3 for one in found), len(found)),
        _median(one.noise for one in found if one.hit),
        _median(one.lines for one in found if one.hit),
        _median(one.graph for one in found),
        _median(one.nodes for one in found),
    ]


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.0f} %)" if whole else "-"


def _median(values: Iterable[int | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):g}" if known else "-"


def _rank(locality: Locality) -> str:
    if locality.rank is None:
        return f"- (of {locality.lines})"
    return f"{locality.rank} ({locality.noise}/{locality.lines})"


def _known(value: int | None) -> str:
    return "-" if value is None else str(value)
