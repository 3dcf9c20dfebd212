"""Views: one page model of a run, plain rows, drawn in a terminal, as HTML or interactively."""
