"""Each kind of `OpError` that a session can raise: its report names the node and the user's line."""

from __future__ import annotations

import linecache

import numpy as np
import pytest
import tensorflow as tf
from tests.tf1.networks import control_flow

import graphdebug
from graphdebug.tensorflow import SessionRunHook

tf1 = tf.compat.v1


def invalid_argument(session, _folder):
    x = tf1.placeholder(tf.float32, [None])
    culprit = tf.subtract(x, tf.ones([3]), name="culprit")
    session.run(culprit, {x: np.ones(2)})


def out_of_range(session, _folder):
    queue = tf1.FIFOQueue(4, [tf.float32], [[]], name="numbers")
    culprit = queue.dequeue(name="culprit")
    session.run(queue.close())
    session.run(culprit)


def not_found(session, folder):
    culprit = tf1.raw_ops.RestoreV2(
        prefix=str(folder / "nothing"),
        tensor_names=["w"],
        shape_and_slices=[""],
        dtypes=[tf.float32],
        name="culprit",
    )
    session.run(culprit)


def failed_precondition(session, _folder):
    culprit = tf1.get_variable("culprit", [3], use_resource=False)
    session.run(culprit * 2.0)


def resource_exhausted(session, _folder):
    size = tf1.placeholder(tf.int64, [2])
    culprit = tf.fill(size, 1.0, name="culprit")
    session.run(tf.reduce_sum(culprit), {size: [1 << 22, 1 << 22]})


def cancelled(session, _folder):
    queue = tf1.FIFOQueue(1, [tf.float32], [[]], name="numbers")
    session.run(queue.close(cancel_pending_enqueues=True))
    culprit = queue.enqueue(1.0, name="culprit")
    session.run(culprit)


def deadline_exceeded(session, _folder):
    queue = tf1.FIFOQueue(1, [tf.float32], [[]], name="numbers")
    culprit = queue.dequeue(name="numbers_culprit")
    session.run(culprit, options=tf1.RunOptions(timeout_in_ms=100))


def data_loss(session, folder):
    path = folder / "broken.tfrecord"
    path.write_bytes(b"this is no record file at all, is it")
    batches = tf1.data.make_one_shot_iterator(tf.data.TFRecordDataset(str(path)))
    culprit = batches.get_next(name="culprit")
    session.run(culprit)


KINDS = {
    "InvalidArgumentError": invalid_argument,
    "OutOfRangeError": out_of_range,
    "NotFoundError": not_found,
    "FailedPreconditionError": failed_precondition,
    "ResourceExhaustedError": resource_exhausted,
    "CancelledError": cancelled,
    "DeadlineExceededError": deadline_exceeded,
    "DataLossError": data_loss,
}


def failed(program, *arguments):
    """Run a program that fails under a recording; return its failure and its report."""
    with (
        pytest.raises(tf.errors.OpError) as caught, graphdebug.record() as run,
        tf.Graph().as_default(), tf1.Session() as session,
    ):  # fmt: skip
        program(session, *arguments)
    assert not run.tool_errors
    (failure,) = run.failures
    return failure, caught.value, caught.value.__notes__[0]


def line_of(site):
    return linecache.getline(site.file, site.line).strip()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_error_names_its_node_and_line(kind, tmp_path):
    failure, error, report = failed(KINDS[kind], tmp_path)
    assert type(error).__name__ == kind
    assert failure.error == f"tensorflow.errors.{kind}"
    if kind == "DeadlineExceededError":  # TensorFlow does not say which node the run was waiting for
        assert line_of(failure.site).startswith("session.run(culprit")
    else:
        assert "culprit" in failure.name
        assert line_of(failure.site).startswith("culprit = "), report
    assert line_of(failure.run_site).startswith("session.run(")
    assert "test_error_kinds.py" in report.splitlines()[0]
    assert len(report.splitlines()) <= 15
    assert "Graph execution error" not in report


@pytest.mark.parametrize(
    ("kind", "cause", "way_out"),
    [
        ("NotFoundError", "there is no checkpoint {folder}/nothing", "give the prefix that it was saved under"),
        ("DataLossError", "corrupted record at 0 (Is this even a TFRecord file?)", "read it by its own format"),
    ],
)
def test_a_file_that_is_missing_or_damaged_is_reported_with_the_cause_and_what_to_do(
    kind, cause, way_out, tmp_path
):
    failure, _, report = failed(KINDS[kind], tmp_path)
    assert failure.category == ("missing_file" if kind == "NotFoundError" else "damaged_file")
    assert cause.format(folder=tmp_path) in report
    (tries,) = [line for line in report.splitlines() if line.startswith("  try: ")]
    assert way_out in tries


def test_a_record_file_that_ends_too_early_is_told_from_one_of_another_format(tmp_path):
    path = str(tmp_path / "cut.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"x" * 100)
    whole = (tmp_path / "cut.tfrecord").read_bytes()
    (tmp_path / "cut.tfrecord").write_bytes(whole[:60])

    def program(session):
        records = tf1.data.make_one_shot_iterator(tf.data.TFRecordDataset(path)).get_next()
        session.run(records)

    failure, _, report = failed(program)
    assert failure.detail == {"cut": 0}
    assert "a file ends within a record" in report


def wrong_rows(x):
    return tf.matmul(x, tf.ones([4, 2]))


def in_loop(session):
    x = tf1.placeholder(tf.float32, [None, None])
    shapes = [tf.TensorShape([]), tf.TensorShape([None, None])]
    result = tf.while_loop(lambda i, _: i < 3, lambda i, state: (i + 1, wrong_rows(state)), [0, x], shapes)
    session.run(result, {x: np.ones((2, 4))})


def in_branch(session):
    x = tf1.placeholder(tf.float32, [None, None])
    result = tf1.cond(tf.shape(x)[0] > 0, lambda: wrong_rows(x), lambda: x)
    session.run(result, {x: np.ones((2, 3))})


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("program", [in_loop, in_branch])
def test_inside_loops_and_branches_the_line_is_that_of_the_op(program, version):
    with control_flow(version):
        failure, _, report = failed(program)
    assert (failure.category, failure.op) == ("shape", "MatMul"), report
    assert line_of(failure.site) == "return tf.matmul(x, tf.ones([4, 2]))", report
    assert failure.operands[1].fact.shape == (4, 2)


@pytest.mark.parametrize("kind", ["InvalidArgumentError", "ResourceExhaustedError", "DataLossError"])
@pytest.mark.parametrize("hooked", [True, False], ids=["hook", "block"])
def test_in_a_monitored_session_too(kind, hooked, tmp_path):
    class Session:
        """Opens the session when the graph has been built."""

        def run(self, *arguments, **options):
            with tf1.train.MonitoredSession(hooks=hooks) as session:
                session.run(*arguments, **options)

    hook = SessionRunHook()
    hooks = [hook] if hooked else []
    with pytest.raises(tf.errors.OpError) as caught, tf.Graph().as_default():
        if hooked:
            KINDS[kind](Session(), tmp_path)
        else:
            with graphdebug.record() as run:
                KINDS[kind](Session(), tmp_path)
    (failure,) = (hook.run if hooked else run).failures
    assert type(caught.value).__name__ == kind
    assert line_of(failure.site).startswith("culprit = ")
    assert any(note.startswith("graphdebug:") for note in caught.value.__notes__)
