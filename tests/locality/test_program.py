from pathlib import Path

import pytest

from graphdebug.locality.program import MODES, Program, programs

EAGER = next(mode for mode in MODES if mode.name == "torch eager")
COMPILED = next(mode for mode in MODES if mode.name == "torch.compile")

MARKED = """\
# shape: a thing too small
import torch
# COMPILED: @torch.compile
def f(x):
    y = x + 1  # BORN
    return y.view(3)  # FAULT: return y.view(4)
k = 3  # FAULT
z = 2  # MENDED: z = 4
"""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    path = tmp_path / "thing.py"
    path.write_text(MARKED)
    return Program("thing", path)


def test_what_is_run_holds_no_mark_and_keeps_its_line_numbers(program):
    text = program.text(EAGER)
    assert "FAULT" not in text.source
    assert text.source.splitlines()[4:] == ["    y = x + 1", "    return y.view(3)", "k = 3", "z = 2"]
    assert len(text.source.splitlines()) == len(MARKED.splitlines())
    assert text.faults == {6, 7}
    assert text.births == {5}


def test_the_clean_twin_is_mended_on_marked_lines_alone(program):
    assert program.text(EAGER, mended=True).source.splitlines()[5:] == [
        "    return y.view(4)",
        "k = 3",
        "z = 4",
    ]


def test_the_compiled_mode_reads_its_own_lines(program):
    assert program.text(COMPILED).source.splitlines()[2] == "@torch.compile"
    assert program.text(EAGER).source.splitlines()[2] == ""


def test_a_program_says_what_is_wrong_with_it(program):
    assert (program.kind, program.description) == ("shape", "a thing too small")


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_every_program_of_the_suite_marks_a_fault_and_has_a_twin_that_differs(mode):
    found = programs(mode)
    assert len(found) >= 24
    for program in found:
        text = program.text(mode)
        assert text.faults, program.path
        assert program.kind, program.path
        assert text.source != program.text(mode, mended=True).source, program.path
        compile(text.source, str(program.path), "exec")
        compile(program.text(mode, mended=True).source, str(program.path), "exec")
