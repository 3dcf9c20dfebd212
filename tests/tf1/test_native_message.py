"""TensorFlow's own message of a failing session is what it is without us: its stacks hold no frame of ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1


def main():
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None], name="x")
        y = x - tf.ones([3])
        session.run(y, {x: np.ones(2)})


main()
"""
RECORDED = PROGRAM.replace("\nmain()\n", "\nimport graphdebug\nwith graphdebug.record():\n    main()\n")


@pytest.fixture(scope="module")
def message(tmp_path_factory):
    """Return what a program prints below TensorFlow's "Graph execution error", up to our note."""
    folder = tmp_path_factory.mktemp("program")

    def run(command, text=PROGRAM):
        (folder / "program.py").write_text(text)
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(folder)}
        done = subprocess.run(
            [*command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "backends/tensorflow" not in done.stderr, "a frame of ours in a traceback"
        below = done.stderr.partition("Graph execution error:")[2].partition("\ngraphdebug: ")[0].strip()
        return re.sub(r"0x[0-9a-f]+", "0x", below)

    return run


GRAPHDEBUG = str(Path(sys.executable).with_name("graphdebug"))


def test_recorded_by_the_command_it_is_the_programs_own(message):
    plain = message([sys.executable, "program.py"])
    assert "Detected at node 'sub' defined at" in plain
    recorded = message([GRAPHDEBUG, "run", "program.py"])
    absolute = str(Path("program.py"))
    assert re.sub(r'"[^"]*program\.py"', absolute, recorded) == re.sub(r'"[^"]*program\.py"', absolute, plain)


def test_recorded_in_the_program_it_holds_no_frame_of_ours(message):
    plain = message([sys.executable, "program.py"])
    recorded = message([sys.executable, "program.py"], RECORDED)
    lines = [re.sub(r"line \d+, in <module>", "line, in <module>", text) for text in (plain, recorded)]
    assert lines[0] == lines[1]
    assert "graphdebug" not in recorded
