"""The demo as a user runs it: real programs in real processes."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphdebug.cli import main
from graphdebug.demo import showing
from graphdebug.locality.program import Mode


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-c", "from graphdebug.cli import main; main()", "demo"],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "graphdebug-demo", done.stdout


def rows(said: str) -> dict[str, list[str]]:
    """Return the measures by ``program/output``: named, rank, noise, space, graph, time."""
    found, program = {}, ""
    for line in said.splitlines():
        row = re.match(
            r"\s*(\S+\.py)?\s+(dynamic|static)?\s+(native|graphdebug)\s+(yes|no)\s+(\S+)\s+(.*)", line
        )
        if row:
            program = row[1] or program
            found[f"{program}/{row[3]}"] = [row[4], row[5], *row[6].split()]
    return found


def test_the_fold_is_named_by_no_framework_and_first_by_graphdebug(demo):
    measured = rows(demo[1])
    assert len(measured) == 8
    for program in ("torch_reshape.py", "tf1_reshape.py"):
        assert measured[f"{program}/native"][:2] == ["no", "-"]
        assert measured[f"{program}/graphdebug"][:2] == ["yes", "1"]
    for program in ("torch_cnn.py", "tf1_cnn.py"):
        assert measured[f"{program}/native"][0] == "yes"
        assert measured[f"{program}/graphdebug"][:2] == ["yes", "1"]


def test_every_report_and_the_commands_to_look_further_are_printed(demo):
    folder, said = demo
    assert said.count("graphdebug: ") == 4
    for name in ("torch_cnn", "torch_reshape", "tf1_cnn", "tf1_reshape"):
        assert f"graphdebug view graphdebug-demo/{name}.jsonl" in said
        assert (folder / f"{name}.jsonl").stat().st_size > 0


def test_the_programs_left_behind_are_plain_scripts_without_marks(demo):
    for script in demo[0].glob("*.py"):
        text = script.read_text()
        assert "graphdebug" not in text
        assert "FAULT" not in text


def test_a_framework_that_is_missing_is_named_with_the_way_to_install_it(monkeypatch, tmp_path):
    absent = Mode("TF1 session", "", ("no_such_framework",), static=True)
    lost = dataclasses.replace(showing.PARTS[1], mode=absent)
    monkeypatch.setattr(showing, "PARTS", (lost,))
    done = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "demo")])
    assert done.exit_code == 2
    assert done.output == (
        "no_such_framework is not installed, its half is left out: pip install 'graphdebug[tensorflow]'\n"
        "graphdebug: the demo needs a framework: pip install 'graphdebug[all]'\n"
    )
