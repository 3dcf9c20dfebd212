"""Each kind of `OpError` that a session can raise: its report names the node and the user's line."""

from __future__ import annotations

import linecache
import socket
import subprocess
import sys

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


def unimplemented(session, _folder):
    words = tf1.placeholder(tf.string, [None])
    culprit = tf.cast(words, tf.float32, name="culprit")
    session.run(culprit, {words: ["1.0", "2.0"]})


def already_exists(session, _folder):
    first = tf.raw_ops.TemporaryVariable(shape=[2], dtype=tf.float32, var_name="same")
    with tf.control_dependencies([tf1.assign(first, [1.0, 2.0])]):
        culprit = tf.raw_ops.TemporaryVariable(shape=[2], dtype=tf.float32, var_name="same", name="culprit")
    session.run(tf.raw_ops.DestroyTemporaryVariable(ref=culprit, var_name="same"))


def permission_denied(session, _folder):
    text = tf1.placeholder(tf.string, [])
    culprit = tf.io.write_file("/sys/kernel/notes", text, name="culprit")  # not even root may
    session.run(culprit, {text: "something"})


KINDS = {
    "UnimplementedError": unimplemented,
    "AlreadyExistsError": already_exists,
    "PermissionDeniedError": permission_denied,
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


SERVER = """
import sys
import tensorflow as tf

server = tf.distribute.Server({"local": [f"localhost:{sys.argv[1]}"]})
print("ready", flush=True)
server.join()
"""


def start_server(port):
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    return server


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # it can't close the session
def test_a_server_that_was_started_anew_is_told_at_the_line_that_ran():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    server = start_server(port)
    try:
        with (
            pytest.raises(tf.errors.AbortedError) as caught, graphdebug.record() as run,
            tf.Graph().as_default(), tf1.Session(f"grpc://localhost:{port}") as session,
        ):  # fmt: skip
            x = tf1.placeholder(tf.float32, [2])
            result = tf.exp(x)
            assert session.run(result, {x: [0, 0]}).tolist() == [1, 1]
            server.kill()
            server.wait()
            server = start_server(port)
            session.run(result, {x: [0, 1]})
    finally:
        server.kill()
    assert not run.tool_errors
    assert any(node.op == "Exp" for node in run.nodes)
    (failure,) = run.failures
    assert line_of(failure.site) == "session.run(result, {x: [0, 1]})"
    assert "AbortedError" in caught.value.__notes__[0]


def wrong_rows(x):
    culprit = tf.matmul(x, tf.ones([4, 2]))
    return tf.reduce_sum(culprit)


def cast_of_words(x):
    words = tf.strings.as_string(x)
    culprit = tf.cast(words, tf.float32)
    return tf.reduce_sum(culprit)


def too_large(x):
    sizes = tf.cast(tf.reduce_sum(x) * 2.0**40, tf.int64)
    culprit = tf.fill([sizes], 1.0)
    return tf.reduce_sum(culprit)


def missing(x):
    path = tf.strings.join(["/nothing/", tf.strings.as_string(tf.reduce_sum(x))])
    culprit = tf.io.read_file(path)
    return tf.cast(tf.strings.length(culprit), tf.float32)


def denied(x):
    text = tf.strings.as_string(tf.reduce_sum(x))
    culprit = tf.io.write_file("/sys/kernel/notes", text)
    with tf.control_dependencies([culprit]):
        return tf.reduce_sum(x)


WITHIN = {
    wrong_rows: ("InvalidArgumentError", "MatMul", [(2, 3), (4, 2)]),
    cast_of_words: ("UnimplementedError", "Cast", [(2, 3)]),
    too_large: ("ResourceExhaustedError", "Fill", [(1,), ()]),
    missing: ("NotFoundError", "ReadFile", [()]),
    denied: ("PermissionDeniedError", "WriteFile", [(), ()]),
}
"""Ops that fail: their error, type and the shapes of their operands."""


def in_loop(session, fails, x, feeds):
    result = tf.while_loop(lambda i, _: i < 3, lambda i, total: (i + 1, total + fails(x)), [0, 0.0])
    session.run(result, feeds)


def in_branch(session, fails, x, feeds):
    result = tf1.cond(tf.shape(x)[0] > 0, lambda: fails(x), lambda: 0.0)
    session.run(result, feeds)


def in_function(session, fails, x, feeds):
    result = tf.function(fails, autograph=False)(x)
    session.run(result, feeds)


def in_nested_function(session, fails, x, feeds):
    inner = tf.function(fails, autograph=False)
    result = tf.function(lambda values: inner(values) + 1.0, autograph=False)(x)
    session.run(result, feeds)


def in_monitored_session(_session, fails, x, feeds):
    result = fails(x)
    with tf1.train.MonitoredSession() as session:
        session.run(result, feeds)


@pytest.mark.parametrize("fails", WITHIN)
@pytest.mark.parametrize(
    ("place", "version"),
    [
        (in_loop, "v1"), (in_loop, "v2"), (in_branch, "v1"), (in_branch, "v2"), (in_function, "v2"),
        (in_nested_function, "v2"), (in_monitored_session, "v2"),
    ],
)  # fmt: skip
def test_wherever_an_op_fails_its_line_its_operands_and_the_line_that_ran_it_are_told(place, version, fails):
    def program(session):
        x = tf1.placeholder(tf.float32, [None, None])
        place(session, fails, x, {x: np.ones((2, 3))})

    with control_flow(version):
        failure, error, report = failed(program)
    kind, op, shapes = WITHIN[fails]
    assert type(error).__name__ == kind
    assert failure.op == op, report
    assert line_of(failure.site).startswith("culprit = "), report
    assert line_of(failure.run_site) == "session.run(result, feeds)"
    assert [one.fact.shape for one in failure.operands] == shapes
    assert "test_error_kinds.py" in report.splitlines()[0]


def test_an_end_of_data_that_is_not_caught_has_the_nodes_that_led_to_it():
    def program(session):
        batches = tf1.data.make_one_shot_iterator(tf.data.Dataset.range(2))
        culprit = batches.get_next()
        doubled = culprit * 2
        for _ in range(3):
            session.run(doubled)

    with (
        pytest.raises(tf.errors.OutOfRangeError), graphdebug.record() as run,
        tf.Graph().as_default(), tf1.Session() as session,
    ):  # fmt: skip
        program(session)
    (failure,) = run.failures
    assert run.producer(failure.operands[0]).op == "OneShotIterator"
    assert run.node(failure.node).execution == "raised"


def test_an_end_of_data_that_is_caught_leaves_no_failure():
    with graphdebug.record() as run, tf.Graph().as_default(), tf1.Session() as session:
        item = tf1.data.make_one_shot_iterator(tf.data.Dataset.range(2)).get_next()
        with pytest.raises(tf.errors.OutOfRangeError):
            for _ in range(3):
                session.run(item)
    assert list(run.failures) == []
    assert {node.execution for node in run.nodes} <= {"executed", "inferred"}


def own_function(raised):
    def users(_values):
        raise raised  # here

    return users


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ValueError("no such row"), "InvalidArgumentError"),
        (NotImplementedError("not yet"), "UnimplementedError"),
        (StopIteration("no more"), "OutOfRangeError"),
        (MemoryError("too much"), "ResourceExhaustedError"),
        (KeyError("row"), "UnknownError"),
    ],
)
@pytest.mark.parametrize("call", [tf1.py_func, tf.numpy_function, tf.py_function], ids=lambda one: one.__name__)
def test_an_error_in_python_that_an_op_calls_is_told_at_its_own_line(call, raised, kind):
    def program(session):
        x = tf1.placeholder(tf.float32, [2])
        culprit = call(own_function(raised), [x * 2.0], tf.float32)
        session.run(culprit + 1.0, {x: [1, 2]})

    failure, error, report = failed(program)
    assert type(error).__name__ == kind
    assert line_of(failure.site) == "raise raised  # here", report
    assert failure.frames[-1] == failure.site
    assert failure.operands[0].fact.shape == (2,)
    assert failure.category != "memory"


@pytest.mark.parametrize("kind", ["one shot", "initializable"])
@pytest.mark.parametrize("parallel", [None, 2])
def test_an_op_that_fails_in_a_map_of_tf_data_is_told_at_its_line(kind, parallel):
    def parse(row):
        picked = tf.cast(row, tf.int32) * 3
        return tf.gather([10.0, 20.0], picked)  # of two

    def program(session):
        rows = tf.data.Dataset.from_tensor_slices(np.ones((8, 3), "f")).map(parse, parallel).batch(2)
        if kind == "one shot":
            batches = tf1.data.make_one_shot_iterator(rows)
        else:
            batches = tf1.data.make_initializable_iterator(rows)
            session.run(batches.initializer)
        tf.gather([1.0], [0])  # of the same name, and innocent
        total = tf.reduce_sum(batches.get_next())
        session.run(total)

    failure, _, report = failed(program)
    assert (failure.category, failure.op) == ("index", "GatherV2")
    assert line_of(failure.site) == "return tf.gather([10.0, 20.0], picked)  # of two", report
    assert line_of(failure.run_site) == "session.run(total)"
    assert [one.fact.shape for one in failure.operands[:2]] == [(2,), (3,)]


def test_a_generator_that_fails_is_told_at_its_own_line():
    def rows():
        yield 1.0
        raise ValueError("a bad row")  # here

    def program(session):
        dataset = tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec([]))
        item = tf1.data.make_one_shot_iterator(dataset).get_next()
        for _ in range(2):
            session.run(item)

    failure, _, report = failed(program)
    assert line_of(failure.site) == 'raise ValueError("a bad row")  # here', report
    assert line_of(failure.run_site) == "session.run(item)"


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
