"""Showing: how a Run presents itself; handed to runs where they are made, so that the model knows no view."""

from __future__ import annotations

from typing import Any

from graphdebug.model.run import Run

__all__ = ["SHOWING", "Showing"]


class Showing:
    """The notebook view and the tables of a run; each imports what it needs when it is asked."""

    def html(self, run: Run) -> str:
        """Return `run` as HTML for a notebook."""
        from graphdebug.view.notebook import fragment

        return fragment(run)

    def arrow(self, run: Run) -> Any:
        """Return the nodes of `run` as an Arrow table."""
        from graphdebug.export.columns import arrow_table

        return arrow_table(run)

    def pandas(self, run: Run) -> Any:
        """Return the nodes of `run` as a pandas frame."""
        from graphdebug.export.columns import pandas_frame

        return pandas_frame(run)


SHOWING = Showing()
