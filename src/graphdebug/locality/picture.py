"""The picture of static against dynamic: how often, and how far down, each mode's output names the fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from graphdebug.errors import GraphDebugError
from graphdebug.locality.suite import COLUMNS, Result

__all__ = ["check_kind", "draw"]

_COLOURS = ("#9aa5b1", "#e0a458", "#2f6f9f")


def check_kind(path: Path) -> None:
    """Refuse a picture that could not be drawn, before what it is of has been measured.

    Raises:
        GraphDebugError: matplotlib is not installed, or can't write this kind of file.

    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GraphDebugError("the picture needs matplotlib: pip install 'graphdebug[locality]'") from error
    known = Figure().canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise GraphDebugError(f"can't write the picture {path}: its name must end in .svg, .png or .pdf")


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the picture to `path`, which `check_kind` takes; its suffix (.svg, .png, .pdf) says how.

    Raises:
        GraphDebugError: the file can't be written.

    """
    from matplotlib.figure import Figure

    dynamic = list(dict.fromkeys(result.mode for result in results if not result.static))
    static = list(dict.fromkeys(result.mode for result in results if result.static))
    modes = [*dynamic, *static]
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    shares, depths = figure.subplots(1, 2)
    for index, (column, colour) in enumerate(zip(COLUMNS, _COLOURS, strict=True)):
        for place, mode in enumerate(modes):
            chosen = [result.columns[column] for result in results if result.mode == mode]
            at = place + (index - 1) * 0.27
            label = column if place == 0 else None
            named = 100 * sum(one.hit for one in chosen) / len(chosen)
            first = 100 * sum(one.rank == 1 for one in chosen) / len(chosen)
            shares.bar(at, named, 0.25, color=colour, alpha=0.35)
            shares.bar(at, first, 0.25, color=colour, label=label)
            above = [one.noise for one in chosen if one.noise is not None]
            depths.plot([at] * len(above), [lines + 1 for lines in above], "o", ms=3, color=colour, alpha=0.4)
            if above:
                depths.plot([at - 0.1, at + 0.1], [median(above) + 1] * 2, color=colour, lw=3, label=label)
    shares.set_ylim(0, 100)
    shares.set_ylabel("% of faulty programs")
    shares.set_title("fault line named first (solid), anywhere (pale)", fontsize=10)
    depths.set_yscale("log")
    depths.set_ylabel("line of the output")
    depths.set_title("where the fault line is first named (bar: median; misses left out)", fontsize=10)
    for axes in (shares, depths):
        axes.set_xticks(range(len(modes)), modes)
        axes.axvline(len(dynamic) - 0.5, color="black", lw=0.8, ls=":")
        for word, middle in (("dynamic", len(dynamic) / 2), ("static", len(dynamic) + len(static) / 2)):
            axes.text(middle - 0.5, -0.14, word, transform=axes.get_xaxis_transform(), ha="center")
        axes.spines[["top", "right"]].set_visible(False)
    shares.legend(frameon=False, fontsize=8)
    try:
        figure.savefig(path)
    except OSError as error:
        raise GraphDebugError(f"can't write the picture {path}: {error.strerror or error}") from error
