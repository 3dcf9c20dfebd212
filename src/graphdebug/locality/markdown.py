"""The results as a Markdown page, for docs/locality-results.md: what was run, totals, ranks, losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphdebug.locality.suite import COLUMNS, Result
from graphdebug.locality.table import TOTALS, losses, totals

__all__ = ["page"]


def page(results: Sequence[Result], made_by: Mapping[str, object]) -> str:
    """Return the page.

    Args:
        results: what was measured.
        made_by: the command and the versions that it was measured with, by name.

    """
    modes = list(dict.fromkeys(result.mode for result in results))
    lost = [f"- {line}" for line in losses(results)]
    return "\n".join(
        [
            "# Error locality: results",
            "",
            "Written by the command; [locality.md](locality.md) says what the words mean.",
            "",
            *(f"- {name}: `{value}`" for name, value in made_by.items()),
            "",
            "## By mode",
            "",
            *_table(["mode", "output of", *TOTALS], _by_mode(results, modes)),
            "",
            f"## Rank of the fault line: {' / '.join(COLUMNS)}",
            "",
            *_table(["kind", "program", *modes], _by_case(results, modes)),
            "",
            "## Where graphdebug does not name the fault first",
            "",
            *(lost or ["Nowhere."]),
            "",
        ]
    )


def _by_mode(results: Sequence[Result], modes: Sequence[str]) -> list[list[str]]:
    return [
        [mode if column == COLUMNS[0] else "", column, *totals(chosen, column)]
        for mode in [*modes, "all"]
        for chosen in [[result for result in results if mode in (result.mode, "all")]]
        for column in COLUMNS
    ]


def _by_case(results: Sequence[Result], modes: Sequence[str]) -> list[list[str]]:
    cases: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        ranks = [result.columns[column].rank for column in COLUMNS]
        words = " / ".join("-" if rank is None else str(rank) for rank in ranks)
        cases.setdefault((result.kind, result.case), {})[result.mode] = words
    return [[*case, *(by_mode.get(mode, "") for mode in modes)] for case, by_mode in sorted(cases.items())]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)]
