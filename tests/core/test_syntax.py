"""Sources are parsed also where a finalizer parses meanwhile, and what is no Python has no tree."""

from __future__ import annotations

import ast
import gc

import pytest

from graphdebug.model.syntax import tree_of_text

TEXT = "deep = [[[[[[[[[[1]]]]]]]]]]\n" + "y = f(1)\n" * 50


@pytest.mark.parametrize("text", ["", "def f(:", "\0", "(" * 5000])
def test_what_is_no_python_has_no_tree(text):
    assert tree_of_text(text) is None


class Parsing:
    """Garbage that parses when it is collected, as whatever prints a traceback does."""

    def __init__(self):
        self.me = self

    def __del__(self):
        ast.parse("x = [1, (2, 3)]\n")


def test_a_text_is_parsed_though_a_finalizer_parses_meanwhile():
    before = gc.get_threshold()
    for _ in range(20):
        gc.disable()
        for _ in range(20):
            Parsing()
        gc.set_threshold(30)
        gc.enable()
        try:
            assert tree_of_text(TEXT) is not None
        finally:
            gc.set_threshold(*before)
