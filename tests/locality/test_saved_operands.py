"""Operands of failing calls, saved whole beside the log at level values, and the repro that reads them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

import graphdebug
from graphdebug.cli import main


def record(path: Path | None, call, level: str = "values") -> tuple[graphdebug.Run, Exception]:
    run = graphdebug.record(path, level=level)
    with pytest.raises(Exception) as caught, run:  # noqa: PT011 - any error
        call()
    return run, caught.value


def saved(run: graphdebug.Run, log: Path) -> dict[str, torch.Tensor]:
    """The saved operands of the run's failure, by role."""
    found = {}
    for operand in run.failures[0].operands:
        if operand.fact.saved:
            file, _, key = operand.fact.saved.partition("#")
            assert file == f"{log.name}.tensors/{run.failures[0].seq}.safetensors"
            found[operand.role or key] = load_file(log.parent / file)[key]
    return found


def notices(run: graphdebug.Run) -> list[str]:
    return [event.text for event in run.events if event.kind == "notice" and event.topic == "tensors"]


def assert_raised_again(log: Path, error: Exception, said: str | None = None) -> None:
    """The repro of `log` uses the saved operands and raises what the program raised."""
    done = CliRunner().invoke(main, ["repro", str(log), "-o", str(log.with_name("again.py"))])
    assert done.exit_code == 0, done.output
    assert "not recorded" not in done.output
    assert "load_file(" in log.with_name("again.py").read_text()
    runner = (
        "try:\n    exec(open('again.py').read(), {})\n"
        "except Exception as error:\n    print(type(error).__name__, error, sep='|')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", runner], cwd=log.parent, capture_output=True, text=True, check=True
    )
    kind, _, message = ran.stdout.strip().partition("|")
    assert kind == type(error).__name__
    assert (said or str(error).strip()) in message


def test_the_operands_of_a_failing_matmul_raise_its_error_again(tmp_path):
    a, b = torch.randn(30, 50), torch.randn(40, 30).T
    log = tmp_path / "run.jsonl"
    run, error = record(log, lambda: a @ (b + 0))
    operands = saved(run, log)
    assert torch.equal(operands["a"], a)
    assert torch.equal(operands["b"], b)
    assert_raised_again(log, error)


def test_a_label_out_of_range_is_among_the_saved(tmp_path):
    logits, labels = torch.randn(200, 10, requires_grad=True), torch.randint(0, 10, (200,))
    labels[123] = 10
    log = tmp_path / "run.jsonl"
    run, error = record(log, lambda: nn.functional.cross_entropy(logits, labels))
    operands = saved(run, log)
    assert torch.equal(operands["labels"], labels)
    assert torch.allclose(operands["input"], logits.log_softmax(1))
    assert_raised_again(log, error)


def test_a_layer_saves_its_weight_as_declared(tmp_path):
    layer, log = nn.Linear(784, 10), tmp_path / "run.jsonl"
    run, error = record(log, lambda: layer(torch.rand(8, 100)))
    assert torch.equal(saved(run, log)["weight"], layer.weight)
    assert_raised_again(log, error)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2,
                                   torch.complex64, torch.bool, torch.uint8])  # fmt: skip
def test_every_dtype_keeps_its_bits(tmp_path, dtype):
    a = torch.randn(6, 70).to(dtype) if dtype != torch.bool else torch.rand(6, 70) > 0.5
    log = tmp_path / "run.jsonl"
    run, _ = record(log, lambda: torch.matmul(a, torch.ones(3, 2, dtype=dtype)))
    found = saved(run, log)["a"]
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), a.view(torch.uint8))


def test_nothing_is_written_below_values_or_without_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, level in ((tmp_path / "run.jsonl", "stats"), (None, "values")):
        run, _ = record(path, lambda: torch.rand(2, 3) @ torch.rand(2, 3), level)
        assert not any(operand.fact.saved for operand in run.failures[0].operands)
    assert [file.name for file in tmp_path.iterdir()] == ["run.jsonl"]


def test_a_new_recording_removes_the_tensors_of_the_old_one(tmp_path):
    log, folder = tmp_path / "run.jsonl", tmp_path / "run.jsonl.tensors"
    run, _ = record(log, lambda: torch.rand(2, 3) @ torch.rand(2, 3))
    assert [file.name for file in folder.iterdir()] == [f"{run.failures[0].seq}.safetensors"]
    (folder / "notes.txt").write_text("mine")
    with graphdebug.record(log):
        torch.ones(3)
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]
    (folder / "notes.txt").unlink()
    with graphdebug.record(log):
        torch.ones(3)
    assert not folder.exists()


def test_a_large_operand_is_left_out_and_the_log_says_so(tmp_path):
    log = tmp_path / "run.jsonl"
    large = torch.empty(1, dtype=torch.uint8).expand(8_000, 8_001)
    run, _ = record(log, lambda: large @ torch.ones(3, 2, dtype=torch.uint8))
    assert set(saved(run, log)) == {"b"}
    assert notices(run) == [
        "1 of 2 operands of the failing call were not saved: 64 MB is the most that is saved"
    ]


def test_an_operand_of_a_dtype_that_safetensors_lacks_is_left_out(tmp_path):
    log = tmp_path / "run.jsonl"
    run, _ = record(log, lambda: torch.rand(2, 3) @ torch.ones(2, 3, dtype=torch.complex128))
    assert set(saved(run, log)) == {"a"}
    assert notices(run) == [
        "operands of the failing call were not saved: safetensors has no word for complex128"
    ]


def test_the_operands_of_a_rank_are_found_in_a_folder_of_logs(tmp_path, monkeypatch):
    folder = tmp_path / "ranks"
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        with pytest.raises(RuntimeError) as caught, graphdebug.record(folder / "run.jsonl", level="values"):
            torch.rand(20, 30) @ torch.rand(20, 30)
    found = sorted(file.name for file in folder.iterdir() if file.is_dir())
    assert found == ["run.rank0.jsonl.tensors", "run.rank1.jsonl.tensors"]
    assert_raised_again(folder, caught.value)


def test_a_tensor_subclass_runs_no_code_of_its_own(tmp_path):
    class Loud(torch.Tensor):
        seen: list = []  # noqa: RUF012

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.seen.append(getattr(func, "__name__", str(func)))
            return super().__torch_function__(func, types, args, kwargs or {})

    def call() -> None:
        torch.rand(2, 3).as_subclass(Loud) @ torch.rand(2, 3)

    with pytest.raises(RuntimeError):
        call()
    plain, Loud.seen = Loud.seen, []
    log = tmp_path / "run.jsonl"
    run, _ = record(log, call)
    assert Loud.seen == plain
    assert set(saved(run, log)) == {"b"}


def test_without_the_library_a_notice_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    run, _ = record(tmp_path / "run.jsonl", lambda: torch.rand(2, 3) @ torch.rand(2, 3))
    (text,) = notices(run)
    said = "the operands of the failing call were not saved: install what saves them with "
    assert text == said + "pip install 'graphdebug[safetensors]'"


def test_a_folder_that_can_not_be_made_is_a_notice(tmp_path):
    (tmp_path / "run.jsonl.tensors").write_text("a file of that name")
    run, error = record(tmp_path / "run.jsonl", lambda: torch.rand(2, 3) @ torch.rand(2, 3))
    assert "mat1 and mat2" in str(error)
    (text,) = notices(run)
    assert text.startswith("the operands of the failing call were not saved: FileExistsError: ")


def in_session(build):
    """A call that builds a graph of placeholders with `build` and runs it with what it is to be fed."""
    import tensorflow as tf

    def call() -> None:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            fetch, feeds = build(tf)
            session.run(fetch, feeds)

    return call


def matmul_of_placeholders(tf):
    a = tf.compat.v1.placeholder(tf.float32, [None, None])
    b = tf.compat.v1.placeholder(tf.float32, [None, None])
    feeds = {a: ARRAYS["a"], b: ARRAYS["b"]}
    return tf.matmul(a * 1.0, b), feeds


def loss_of_placeholders(tf):
    logits = tf.compat.v1.placeholder(tf.float32, [None, 10])
    labels = tf.compat.v1.placeholder(tf.int32, [None])
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return loss, {logits: ARRAYS["logits"], labels: ARRAYS["labels"].tolist()}


GENERATOR = np.random.default_rng(0)
ARRAYS = {
    "a": GENERATOR.standard_normal((30, 50), np.float32),
    "b": GENERATOR.standard_normal((40, 30), np.float32),
    "logits": GENERATOR.standard_normal((200, 10), np.float32),
    "labels": np.where(np.arange(200) == 123, 10, np.arange(200) % 10).astype(np.int32),
}


@pytest.mark.parametrize("mode", ["session", "eager", "function"])
def test_tensorflow_saves_the_operands_of_a_failing_matmul(tmp_path, mode):
    tf = pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")
    a, b = tf.constant(ARRAYS["a"]), tf.constant(ARRAYS["b"])
    free = tf.TensorSpec([None, None], tf.float32)
    function = tf.function(lambda a, b: tf.matmul(a * 1.0, b), input_signature=[free, free])
    calls = {
        "session": in_session(matmul_of_placeholders),
        "eager": lambda: tf.matmul(a, b),
        "function": lambda: function(a, b),
    }
    log = tmp_path / "run.jsonl"
    run, error = record(log, calls[mode])
    assert notices(run) == []
    found = list(saved(run, log).values())
    assert [one.numpy().tolist() for one in found] == [ARRAYS["a"].tolist(), ARRAYS["b"].tolist()]
    assert_raised_again(log, error, "Matrix size-incompatible: In[0]: [30,50], In[1]: [40,30]")


@pytest.mark.parametrize("mode", ["session", "eager", "function"])
def test_tensorflow_saves_a_label_out_of_range(tmp_path, mode):
    tf = pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")
    logits, labels = tf.constant(ARRAYS["logits"]), tf.constant(ARRAYS["labels"])

    def loss(labels, logits):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)

    function = tf.function(loss)
    calls = {
        "session": in_session(loss_of_placeholders),
        "eager": lambda: loss(labels, logits),
        "function": lambda: function(labels, logits),
    }
    log = tmp_path / "run.jsonl"
    run, error = record(log, calls[mode])
    assert notices(run) == []
    logits, labels = saved(run, log).values()
    assert np.array_equal(logits.numpy(), ARRAYS["logits"])
    assert labels.dtype == torch.int32
    assert np.array_equal(labels.numpy(), ARRAYS["labels"])
    assert_raised_again(log, error, "Received a label value of 10 which is outside the valid range of [0, 10)")
