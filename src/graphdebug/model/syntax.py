"""Syntax: the tree of a source text, as far as it can be read."""

from __future__ import annotations

import ast

__all__ = ["tree_of_text"]

_TRIES = 5


def tree_of_text(text: str) -> ast.Module | None:
    """Return the syntax tree of `text`, or None where it is empty, no Python, or too deep to be read.

    Before 3.11.8, Python's parser counts its depth in one place for all threads: where memory is collected
    while it parses, and a finalizer or another thread parses too, it raises SystemError
    (github.com/python/cpython/issues/106905). The text is not to blame: it is parsed again.
    """
    for _ in range(_TRIES if text else 0):
        try:
            return ast.parse(text)
        except SystemError:
            continue
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    return None
