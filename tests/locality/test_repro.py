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
    "pool": lambda: nn.functional.max_pool2d(torch.rand(1, 1, 2, 2), 4),
    "norm": lambda: nn.BatchNorm2d(4)(torch.rand(2, 3, 5, 5)),
    "product": lambda: torch.bmm(torch.rand(2, 3, 4), torch.rand(3, 4, 5)),
    "index": lambda: torch.rand(5, 2)[torch.tensor([0, 7])],
    "gather": lambda: torch.gather(torch.rand(3, 3), 1, torch.tensor([[0], [5], [1]])),
    "float labels": lambda: nn.functional.nll_loss(torch.rand(4, 3), torch.rand(4)),
    "probabilities": lambda: nn.functional.binary_cross_entropy(torch.rand(4, 1), torch.rand(4)),
    "einsum": lambda: torch.einsum("ij,jk->ik", torch.rand(2, 3), torch.rand(4, 5)),
    "stack": lambda: torch.stack([torch.rand(2), torch.rand(3)]),
}


def test_the_scripts_raise_the_same_errors_without_the_program(tmp_path):
    expected, scripts = {}, {}
    for name, call in CALLS.items():
        folder = tmp_path / name
        log, error = failing_log(folder / "run.jsonl", call)
        assert repro(log)[0] == 0
        expected[name] = f"{type(error).__name__}: {str(error).splitlines()[-1]}"
        scripts[name] = (folder / "again.py").read_text()
    # one process for all scripts: importing torch so many times would take most of the time
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


def in_place():
    y = torch.ones(3, requires_grad=True).exp()
    y += 1
    y.sum().backward()


def leaf_in_place():
    w = torch.ones(3, requires_grad=True)
    w += 1


def in_session(build):
    """A call that does `build` with a graph and a session of its own."""

    def call() -> None:
        tf = pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            build(tf, tf.compat.v1, session)

    return call


def feed_of_another_shape(tf, v1, session):
    x = v1.placeholder(tf.float32, [2])
    session.run(x + 1, {x: [0.0, 1.0, 2.0]})


def graph_finalized(tf, v1, session):
    session.graph.finalize()
    tf.constant(1)


WITHOUT = {
    "inplace": in_place,
    "leaf_inplace": leaf_in_place,
    "no_gradient": lambda: torch.ones(3).sum().backward(),
    "uninitialized": in_session(lambda tf, v1, session: session.run(tf.Variable([1.0]) + 1)),
    "unfed": in_session(lambda tf, v1, session: session.run(v1.placeholder(tf.float32, [2]) + 1)),
    "feed_shape": in_session(feed_of_another_shape),
    "finalized": in_session(graph_finalized),
}


@pytest.mark.parametrize("category", WITHOUT)
def test_a_category_that_no_one_call_makes_again_says_so(tmp_path, category):
    log, _ = failing_log(tmp_path / "run.jsonl", WITHOUT[category])
    failure = graphdebug.load(log).failures[-1]
    assert failure.category == category
    reason = f"{failure.error} is not the fault of one call with tensors"
    assert repro(log) == (
        2,
        f"graphdebug: no repro: {reason}; `graphdebug explain` names the lines that lead to it\n",
    )


def session_conv(tf, v1, session):
    x = v1.placeholder(tf.float32, [None, None, None, None])
    session.run(tf.nn.conv2d(x, tf.ones([3, 3, 3, 4]), 1, "SAME"), {x: torch.zeros(1, 8, 8, 2).numpy()})


def session_reshape(tf, v1, session):
    x = v1.placeholder(tf.float32, [None, None])
    session.run(tf.reshape(x, [-1, 7]), {x: torch.zeros(3, 5).numpy()})


def session_gather(tf, v1, session):
    rows = v1.placeholder(tf.int32, [None])
    session.run(tf.gather(tf.ones([5, 2]), rows), {rows: [7, 0]})


def eager(call):
    def made() -> None:
        tf = pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")
        call(tf)

    return made


IN_TENSORFLOW = {
    "conv": (eager(lambda tf: tf.nn.conv2d(tf.ones([1, 8, 8, 2]), tf.ones([3, 3, 3, 4]), 1, "SAME")),
             "input depth must be evenly divisible by filter depth: 2 vs 3"),
    "add": (eager(lambda tf: tf.ones([3]) + tf.ones([4])), "Incompatible shapes: [3] vs. [4]"),
    "reshape": (eager(lambda tf: tf.reshape(tf.ones([3, 5]), [-1, 7])),
                "Input to reshape is a tensor with 15 values"),
    "dtype": (eager(lambda tf: tf.matmul(tf.ones([2, 3]), tf.ones([3, 2], tf.float64))),
              "expected to be a float tensor but is a double tensor"),
    "gather": (eager(lambda tf: tf.gather(tf.ones([5, 2]), [7, 0])), "indices[0] = 7 is not in [0, 5)"),
    "loss": (eager(lambda tf: tf.nn.softmax_cross_entropy_with_logits(tf.ones([2, 3]), tf.ones([2, 4]))),
             "logits and labels must be broadcastable"),
    "label": (eager(lambda tf: tf.nn.sparse_softmax_cross_entropy_with_logits([0, 9], tf.ones([2, 4]))),
              "Received a label value of 9 which is outside the valid range of [0, 4)"),
    "session conv": (in_session(session_conv), "input depth must be evenly divisible by filter depth: 2 vs 3"),
    "session reshape": (in_session(session_reshape), "Input to reshape is a tensor with 15 values"),
    "session gather": (in_session(session_gather), "indices[0] = 7 is not in [0, 5)"),
}  # fmt: skip


@pytest.mark.parametrize("level", ["health", "values"])
def test_the_scripts_raise_the_errors_of_tensorflow_again_in_a_process_of_their_own(tmp_path, level):
    expected, scripts = {}, {}
    for name, (call, said) in IN_TENSORFLOW.items():
        log = tmp_path / name / "run.jsonl"
        with pytest.raises(Exception) as caught, graphdebug.record(log, level=level):  # noqa: PT011 - any error
            call()
        assert said in str(caught.value)
        code, words = repro(log)
        assert code == 0, words
        assert ("again.safetensors" in words) == (level == "values")
        expected[name] = type(caught.value).__name__
        scripts[name] = str(log.parent)
    runner = (
        f"import os\nfor name, folder in {scripts!r}.items():\n"
        "    os.chdir(folder)\n"
        "    try:\n        exec(open('again.py').read(), {})\n"
        "    except Exception as error:\n"
        "        print(name, type(error).__name__, ' '.join(str(error).split()), sep='|')\n"
    )
    ran = subprocess.run([sys.executable, "-c", runner], capture_output=True, text=True, check=True)
    found = {line.split("|")[0]: line.split("|", 2)[1:] for line in ran.stdout.splitlines() if "|" in line}
    assert {name: kind for name, (kind, _) in found.items()} == expected
    for name, (_, said) in IN_TENSORFLOW.items():
        assert said in found[name][1]


class WrongDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w, x.t() @ g  # w.t() was meant


def torch_backward():
    x, w = torch.rand(4, 3, requires_grad=True), torch.rand(3, 5, requires_grad=True)
    WrongDerivative.apply(x, w).sum().backward()


def wrong_derivative(tf):
    @tf.custom_gradient
    def product(x, w):
        return tf.matmul(x, w), lambda g: (tf.matmul(g, w), tf.matmul(x, g, transpose_a=True))

    return product


def tape_backward(decorate):
    def made(tf):
        x, w, product = tf.Variable(tf.ones([4, 3])), tf.Variable(tf.ones([3, 5])), wrong_derivative(tf)

        @decorate(tf)
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(product(x, w))
            return tape.gradient(loss, [x, w])

        step()

    return eager(made)


def session_backward(tf, v1, session):
    x, w = v1.placeholder(tf.float32, [None, None]), v1.placeholder(tf.float32, [None, None])
    gradient = tf.gradients(tf.reduce_sum(wrong_derivative(tf)(x, w)), [x])
    session.run(gradient, {x: torch.ones(4, 3).numpy(), w: torch.ones(3, 5).numpy()})


IN_BACKWARD = {
    "torch": (torch_backward, "shapes cannot be multiplied (4x5 and 3x5)"),
    "eager": (tape_backward(lambda tf: lambda f: f), "In[0]: [4,5], In[1]: [3,5]"),
    "function": (tape_backward(lambda tf: tf.function), "Dimensions must be equal, but are 5 and 3"),
    "session": (in_session(session_backward), "In[0]: [4,5], In[1]: [3,5]"),
}


@pytest.mark.parametrize("mode", IN_BACKWARD)
def test_a_call_that_failed_in_backward_is_made_again(tmp_path, mode):
    call, said = IN_BACKWARD[mode]
    log, error = failing_log(tmp_path / "run.jsonl", call)
    assert said in str(error)
    code, words = repro(log)
    assert code == 0, words
    with pytest.raises(type(error)) as again:
        exec((tmp_path / "again.py").read_text(), {})
    assert said in str(again.value)


def test_the_values_of_a_view_are_those_of_what_it_shows(tmp_path):
    log = tmp_path / "run.jsonl"
    with graphdebug.record(log, level="values"):
        torch.zeros(3, requires_grad=True).sqrt().sum().backward()
    assert repro(log) == (0, f"wrote {tmp_path / 'again.py'}\n")
    assert last_line_of(tmp_path / "again.py") == "AssertionError: tensor([inf, inf, inf]) is not finite"


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
