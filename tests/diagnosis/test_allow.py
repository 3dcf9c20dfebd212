"""NaN and Inf that the user allows, by op, module, name or line, are no finding; others still are."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf
import torch
from click.testing import CliRunner
from torch import nn

import graphdebug
from graphdebug.cli import main


class Masked(nn.Module):
    def forward(self, x):
        return torch.log(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.masked = Masked()

    def forward(self, x):
        return self.masked(x)


LOG_LINE = Masked.forward.__code__.co_firstlineno + 1


def in_torch():
    print(Net()(torch.tensor([0.0, 1.0])))


def in_tensorflow():
    with tf.name_scope("masked"):
        print(tf.math.log(tf.constant([0.0, 1.0]), name="logarithm"))


def in_a_session():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [2])
        with tf.name_scope("masked"):
            y = tf.math.log(x, name="logarithm")
        session.run(y, {x: [0.0, 1.0]})


PROGRAMS = [in_torch, in_tensorflow, in_a_session]


def kinds(program, *allow, **options):
    with graphdebug.record(allow=allow, **options) as run:
        program()
    assert not run.tool_errors
    return [one.kind for one in run.findings]


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_it_the_value_is_a_finding(program):
    assert kinds(program) == ["nonfinite"]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("pattern", ["log", "*og", "test_allow.py:*"])
def test_a_function_or_a_line_is_allowed_in_every_framework(program, pattern):
    assert kinds(program, pattern) == []


@pytest.mark.parametrize(
    ("program", "pattern"),
    [
        (in_torch, "aten::log"),
        (in_torch, "masked"),
        (in_torch, f"test_allow.py:{LOG_LINE}"),
        (in_tensorflow, "Log"),
        (in_a_session, "masked/logarithm"),
    ],
)
def test_an_op_a_module_a_node_and_one_line_are_allowed(program, pattern):
    assert kinds(program, pattern) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_pattern_that_does_not_match_changes_nothing(program):
    assert kinds(program, "exp", "encoder.*", "other.py:3") == ["nonfinite"]


def test_a_nan_made_of_an_allowed_infinity_is_a_finding_of_its_own():
    def program():
        scores = torch.log(torch.tensor([0.0, 0.0]))
        print(scores - scores)

    with graphdebug.record(allow=["log"]) as run:
        program()
    (found,) = run.findings
    assert found.kind == "nonfinite"
    assert "sub" in found.text.splitlines()[0]


def test_the_birth_after_an_allowed_one_is_still_named():
    with graphdebug.record(allow=["log"]) as run:
        in_torch()
        print(torch.sqrt(torch.tensor([-1.0])))
    assert [one.text.splitlines()[0].split(",")[0] for one in run.findings] == [
        "graphdebug: sqrt is not finite"
    ]


def test_what_is_allowed_stands_in_the_log(tmp_path):
    assert kinds(in_torch, "log", path=tmp_path / "run.jsonl") == []
    assert graphdebug.load(tmp_path / "run.jsonl").findings == ()


def test_explain_allows_more_than_was_recorded(tmp_path):
    log = tmp_path / "run.jsonl"
    assert kinds(in_torch, path=log) == ["nonfinite"]
    said = CliRunner().invoke(main, ["explain", str(log), "--json", "--allow", "masked"])
    assert json.loads(said.output) == {"findings": []}
    said = CliRunner().invoke(main, ["explain", str(log), "--json", "--allow", "exp"])
    assert len(json.loads(said.output)["findings"]) == 1


def test_one_string_is_refused_with_the_way_out():
    with pytest.raises(graphdebug.OptionError, match="must be a list of patterns, not one string"):
        graphdebug.record(allow="log")


def test_assertions_know_what_the_run_allows():
    with graphdebug.record(allow=["log"]) as run:
        in_torch()
    graphdebug.assert_finite(run)
