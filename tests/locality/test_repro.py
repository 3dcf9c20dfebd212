"""Scripts written from the log of a failed run, run by themselves."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import graphdebug
from graphdebug.cli import main


def failing_log(path: Path, call) -> tuple[Path, BaseException]:
    with pytest.raises(Exception) as caught, graphdebug.record(path):  # noqa: PT011 - any error
        call()
    return path, caught.value


def repro(log: Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["repro", str(log), "-o", str(log.with_name("again.py"))])
    return done.exit_code, done.output


def last_line_of(script: Path) -> str:
    ran = subprocess.run(
        [sys.executable, script.name], cwd=script.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return ran.stderr.strip().splitlines()[-1]


CALLS = {
    "linear": lambda: nn.Linear(784, 10)(torch.rand(8, 100)),
    "conv": lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1)(torch.rand(2, 1, 8, 8)),
    "cat": lambda: torch.cat([torch.rand(2, 3), torch.rand(3, 3)], dim=1),
    "view": lambda: torch.rand(4, 5).view(3, -1),
    "add": lambda: torch.rand(3) + torch.rand(4),
    "loss": lambda: nn.functional.cross_entropy(torch.rand(6, 3), torch.zeros(5, dtype=torch.long)),
    "label": lambda: nn.functional.cross_entropy(torch.rand(3, 3), torch.tensor([0, 3, 1])),
    "embedding": lambda: nn.Embedding(5, 4)(torch.tensor([[1, 5]])),
    "dtype": lambda: torch.rand(2, 3, dtype=torch.float64) @ torch.rand(3, 2),
}


def test_the_scripts_raise_the_same_errors_without_the_program(tmp_path):
    expected, scripts = {}, {}
    for name, call in CALLS.items():
        folder = tmp_path / name
        log, error = failing_log(folder / "run.jsonl", call)
        assert repro(log)[0] == 0
        expected[name] = f"{type(error).__name__}: {str(error).splitlines()[-1]}"
        scripts[name] = (folder / "again.py").read_text()
    # one process for all scripts: importing torch nine times would take most of the time
    runner = (
        f"for name, script in {scripts!r}.items():\n"
        "    try:\n        exec(script, {})\n"
        "    except Exception as error:\n"
        "        print(f'{name}={type(error).__name__}: {str(error).splitlines()[-1]}')\n"
    )
    ran = subprocess.run([sys.executable, "-c", runner], capture_output=True, text=True, check=True)
    assert dict(line.split("=", 1) for line in ran.stdout.splitlines()) == expected


def test_calls_of_tensorflow_are_made_again_in_the_mode_they_failed_in(tmp_path):
    tf = pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")

    def session() -> None:
        with tf.Graph().as_default(), tf.compat.v1.Session() as sess:
            x = tf.compat.v1.placeholder(tf.float32, [None, None])
            labels = tf.compat.v1.placeholder(tf.int32, [None])
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=x)
            sess.run(loss, {x: torch.zeros(3, 4).numpy(), labels: [0, 4, 1]})

    function = tf.function(lambda a, b: tf.matmul(a, b))
    calls = {
        "eager": lambda: tf.concat([tf.ones([2, 3]), tf.ones([2, 4])], 0),
        "session": session,
        "function": lambda: function(tf.ones([2, 3]), tf.ones([2, 3])),
    }
    said = {
        "eager": "ConcatOp : Dimension 1 in both shapes must be equal",
        "session": "Received a label value of 4 which is outside the valid range of [0, 4)",
        "function": "Dimensions must be equal, but are 3 and 2",
    }
    for mode, call in calls.items():
        log, error = failing_log(tmp_path / mode / "run.jsonl", call)
        assert repro(log)[0] == 0, repro(log)[1]
        with pytest.raises(type(error)) as again:
            exec((tmp_path / mode / "again.py").read_text(), {})
        assert said[mode] in str(again.value)
        assert said[mode] in str(error)


def test_operands_without_recorded_values_are_named(tmp_path):
    log, error = failing_log(tmp_path / "run.jsonl", CALLS["linear"])
    script = tmp_path / "again.py"
    assert repro(log) == (
        0,
        f"wrote {script}\nthe values of bias, input, weight were not recorded: --level values saves them\n",
    )
    assert "input = torch.rand([8, 100], dtype=torch.float32)  # the log has no values" in script.read_text()
    assert last_line_of(script) == f"RuntimeError: {error}"


def test_a_non_finite_value_can_not_be_made_again_without_the_values_it_was_made_of(tmp_path):
    log = tmp_path / "run.jsonl"
    with graphdebug.record(log):
        torch.log(torch.tensor([4.0, 0.0, 9.0])).mean()
    reason = "the values that aten::log was given are not in the log"
    assert repro(log) == (
        2,
        f"graphdebug: no repro: {reason}; record with --level values\n",
    )


def test_the_call_that_makes_a_nan_is_made_again_with_its_values(tmp_path):
    log = tmp_path / "run.jsonl"
    with graphdebug.record(log, level="values"):
        torch.log(torch.tensor([4.0, 0.0, 9.0])).mean()
    assert repro(log) == (0, f"wrote {tmp_path / 'again.py'}\n")
    last = last_line_of(tmp_path / "again.py")
    assert last == "AssertionError: tensor([1.3863,   -inf, 2.1972]) is not finite"


def test_a_fault_of_many_calls_says_why_there_is_no_repro(tmp_path):
    w = torch.ones(2, requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    log, _ = failing_log(tmp_path / "run.jsonl", loss.backward)
    reason = "RuntimeError is not the fault of one call with tensors"
    assert repro(log) == (
        2,
        f"graphdebug: no repro: {reason}; `graphdebug explain` names the lines that lead to it\n",
    )


def test_a_clean_run_has_no_repro(tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl"):
        torch.ones(2).sum()
    assert repro(tmp_path / "run.jsonl") == (
        2,
        "graphdebug: no repro: the run has no failing call and no node that made a non-finite value\n",
    )


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    log, _ = failing_log(tmp_path / "run.jsonl", CALLS["add"])
    target = tmp_path / "again.py"
    target.write_text("precious")
    assert repro(log) == (2, f"graphdebug: will not overwrite {target} without --force\n")
    assert target.read_text() == "precious"
