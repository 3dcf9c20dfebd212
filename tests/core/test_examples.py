"""Each example runs as its README says, and its log holds what it claims to show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import graphdebug

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(name: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"], cwd=folder, capture_output=True, text=True, check=False
    )


def line_of(name: str, text: str) -> int:
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(text))


def test_the_readme_lists_every_example():
    listed = set(re.findall(r"`(\w+)\.py`", (EXAMPLES / "README.md").read_text()))
    assert listed == {path.stem for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", ["product_torch", "product_tf1"])
def test_the_product_and_its_gradients_stand_in_the_log(name, tmp_path):
    done = run_example(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "c = 300, dc/da = 20, dc/db = 15" in done.stdout
    run = graphdebug.load(tmp_path / f"{name}.jsonl")
    products = [node for node in run.nodes if node.function == "mul" and node.phase == "forward"]
    assert [node.outputs[0].values for node in products] == [(300.0,)]
    assert products[0].site.line == line_of(name, "c = ")
    gradients = {
        gradient.name.split(":")[0]: gradient.fact.values for gradient in run.gradients if gradient.name
    }
    assert (gradients["a"], gradients["b"]) == ((20.0,), (15.0,))
    backward = [node for node in run.nodes if node.phase == "backward" and node.forward == products[0].seq]
    assert {node.outputs[0].values for node in backward} >= {(20.0,), (15.0,)}


@pytest.mark.parametrize(
    ("name", "declared", "fed"),
    [
        ("cnn_one_size_torch", "self.fc = nn.Linear", "images, labels = torch.randn"),
        ("cnn_one_size_tf1", 'weights = tf1.get_variable("fc/weights"', "batch = {"),
    ],
)
def test_the_cnn_of_one_size_fails_and_the_report_names_where_it_was_declared_and_fed(
    name, declared, fed, tmp_path
):
    done = run_example(name, tmp_path)
    assert done.returncode == 1
    assert "28x28: loss" in done.stdout
    report = done.stderr[done.stderr.index("graphdebug: ") :]
    assert len(report.splitlines()) <= 15
    assert report.startswith("graphdebug: shape mismatch in ")
    assert "3136 = 64x7x7" in report or "3136 = 7x7x64" in report
    finding = graphdebug.load(tmp_path / f"{name}.jsonl").findings[0]
    named = [candidate.site.line for candidate in finding.candidates]
    assert finding.site.line == line_of(name, fed)
    assert line_of(name, declared) in named
    assert finding.text.partition("  full record:")[0] in report


def test_the_readme_shows_the_report_that_the_example_prints(tmp_path):
    name = "cnn_one_size_torch.py"
    (tmp_path / name).write_text((EXAMPLES / name).read_text())
    done = subprocess.run([sys.executable, name], cwd=tmp_path, capture_output=True, text=True, check=False)
    report = done.stderr[done.stderr.index("graphdebug: ") :]
    shown = (EXAMPLES.parent / "README.md").read_text().partition("```text\n")[2].partition("```")[0]
    assert re.sub(r"--seq \d+", "", shown) == re.sub(r"--seq \d+", "", report)


@pytest.mark.parametrize("name", ["cnn_any_size_torch", "cnn_any_size_tf1"])
def test_the_cnn_of_any_size_takes_any_size_and_nothing_is_found(name, tmp_path):
    done = run_example(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("logits (8, 10)") == 3
    assert "findings: 0" in done.stdout


def test_the_static_graph_stays_and_the_graph_built_in_the_loop_grows(tmp_path):
    done = run_example("graph_static_and_dynamic", tmp_path)
    assert done.returncode == 0, done.stderr
    once = re.findall(r"built once: (\d+) nodes after", done.stdout)
    in_loop = re.findall(r"built in the loop: (\d+) nodes after", done.stdout)
    assert once[0] == once[1]
    assert int(in_loop[0]) > 10 * int(once[2])  # the probes of a recording are there once, too
    assert done.stdout.count("ms a step") == 3
