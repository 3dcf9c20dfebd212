"""Running the programs of a table under the recorder, and reading their marked lines."""

from __future__ import annotations

import inspect
from pathlib import Path

import graphdebug

MARK = "# <- fault"


def programs(module):
    """The public functions of a table, by name."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    }


def marked_lines(module):
    """Line number -> what the mark on it says."""
    lines = Path(module.__file__).read_text().splitlines()
    return {number: line.partition(MARK)[2].strip(": ") for number, line in enumerate(lines, 1) if MARK in line}


def recorded(program, path, **options):
    """The run of `program`, and the exception it ended with."""
    run = graphdebug.record(path, **options)
    try:
        with run:
            program()
    except Exception as error:
        return run, error
    return run, None
