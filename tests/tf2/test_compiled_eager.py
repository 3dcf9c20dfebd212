"""The compiled recorder of eager ops gives the log that Python would, and holds under attack."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import weakref

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

import graphdebug
from graphdebug.backends.tensorflow.native import RECORD
from graphdebug.model.event import Gradient, Node

pytestmark = pytest.mark.skipif(RECORD is None, reason="no C compiler was there when graphdebug was installed")

PROGRAM = """
import sys, threading
if sys.argv[1] == "python":
    sys.modules["graphdebug.backends.tensorflow._record"] = None  # importing it fails, as if not built
import numpy as np, tensorflow as tf, graphdebug
from graphdebug.backends.tensorflow.native import RECORD

assert (RECORD is None) == (sys.argv[1] == "python")
w = tf.Variable(np.linspace(-1, 1, 12).reshape(4, 3).astype("f"), name="w")
b = tf.Variable(np.zeros(3, "f"), name="b")
table = tf.Variable(np.ones((5, 4), "f"), name="table")

@tf.custom_gradient
def doubled(x):
    def grad(dy):
        return dy * 2.0 + tf.zeros_like(dy)
    return x * 2.0, grad

@tf.function
def traced(x):
    return tf.tanh(x) * 3.0

def odd(x, step):
    target = [-1, 2] if step % 2 else [2, -1]
    tf.reshape(x, target)
    target[0], target[1] = target[1], target[0]  # what was given is changed afterwards
    tf.reshape(x, target)
    strides = [1, 1, 1, 1]
    image = tf.reshape(tf.range(16.0), [1, 4, 4, 1])
    tf.nn.max_pool2d(image, 2, strides, "SAME")
    strides[1] = strides[2] = 2
    tf.nn.max_pool2d(image, 2, strides, "SAME")
    for power in (2.0, float(step), [1.0, 2.0, 3.0]):
        tf.pow(x[:, :3], power)
    tf.cast(x, tf.bfloat16) + 1
    tf.cast(x, tf.float16) * (1e5 if step == 3 else 1.0)
    tf.complex(x, x) * 2.0
    tf.cast(x, tf.int64) // 1
    tf.cast(x, tf.uint16)
    tf.strings.join(["a", tf.strings.as_string(step)])
    tf.zeros([0, 3]) + 1.0
    tf.reduce_sum(x > 0.0, axis=None) if False else tf.reduce_any(x > 0.0)
    tf.squeeze(tf.expand_dims(x, 1), [1])
    tf.stop_gradient(tf.identity(x / 0.0 if step == 2 else x))
    tf.add_n([x] * 30)
    tf.split(tf.range(26), 26)
    tf.unique(tf.constant([1, 1, 2]))
    tf.one_hot([0, 2], 3, axis=step % 2)
    tf.raw_ops.AddV2(x=b, y=b)
    tf.raw_ops.BiasAdd(value=x[:, :3], bias=b)
    tf.random.stateless_uniform([step % 3, 2], [1, 2])
    tf.RaggedTensor.from_row_lengths([1.0, 2.0, 3.0], [1, 2]) + 1.0
    tf.sparse.to_dense(tf.sparse.from_dense([[0.0, 1.0]]))
    with tf.name_scope("outer"), tf.name_scope(f"inner_{step}"):
        tf.exp(x)
    thread = threading.Thread(target=lambda: tf.abs(x))
    thread.start()
    thread.join()
    try:
        tf.matmul(x, x)
    except tf.errors.InvalidArgumentError:
        pass

options = {"gradients": sys.argv[4]}
with graphdebug.record(sys.argv[2], level=sys.argv[3], every=int(sys.argv[5]), **options):
    for step in range(6):
        x = tf.constant(np.random.RandomState(step).randn(2, 4).astype("f"))
        with tf.GradientTape(persistent=True) as outer:
            with tf.GradientTape() as tape:
                rows = tf.nn.embedding_lookup(table, [0, step % 5])
                hidden = tf.nn.relu(tf.matmul(doubled(x) + rows, w) + b)
                loss = tf.reduce_mean(tf.square(traced(hidden) - 1.0)) + tf.reduce_sum(rows) * 1e-3
                odd(x, step)
            grads = tape.gradient(loss, [w, b, table])
            slope = tf.reduce_sum(tf.square(grads[0]))
        second = outer.gradient(slope, w)
        outer.gradient(loss, b)
        del outer
        w.assign_sub(0.01 * (grads[0] + second))
        b.assign_sub(0.01 * grads[1])
        table.scatter_sub(tf.IndexedSlices(0.01 * grads[2].values, grads[2].indices))
"""


def events_of(how, folder, *options):
    program = folder / "program.py"
    program.write_text(PROGRAM)
    log = folder / f"{how}.jsonl"
    done = subprocess.run(
        [sys.executable, program, how, log, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    run = graphdebug.load(log)
    assert not list(run.tool_errors)
    assert not run.damage
    assert run.end.events == len(run.events)
    events = untimed(run.events)
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    return events


@pytest.mark.parametrize(
    "options",
    [
        ("shapes", "parameters", "1"), ("health", "all", "1"), ("stats", "parameters", "1"),
        ("values", "none", "1"), ("health", "none", "2"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_compiled_recorder_and_python_write_the_same_events(options, tmp_path):
    compiled, plain = (events_of(how, tmp_path, *options) for how in ("compiled", "python"))
    for one, other in zip(compiled, plain, strict=False):
        assert one == other
    assert len(compiled) == len(plain) > 300


def trained(steps):
    w = tf.Variable(tf.ones([4, 4]) * 0.1)
    for step in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.matmul(tf.ones([3, 4]) * float(step % 3), w) ** 2.0)
        w.assign_sub(0.01 * tape.gradient(loss, w))
    return w


def untimed(events):
    nodes = [one for one in events if isinstance(one, Node | Gradient)]
    return [msgspec.structs.replace(one, time=0.0) if isinstance(one, Node) else one for one in nodes]


def test_a_run_in_memory_is_the_run_in_the_file(tmp_path):
    runs = []
    for path in (None, tmp_path / "run.jsonl"):
        with graphdebug.record(path, level="stats") as run:
            trained(4)
        runs.append(untimed(run.events))
    assert runs[0] == runs[1]
    assert len(runs[0]) > 40


def test_tensors_live_no_longer_than_without_recording(tmp_path):
    with graphdebug.record(tmp_path / "run.jsonl", level="stats"):
        trained(3)
        x = tf.ones([64]) * 2.0
        seen = weakref.ref(x)
        del x
        gc.collect()
        assert seen() is None


def test_recording_again_and_again_leaves_nothing_behind(tmp_path):
    for _ in range(3):
        with graphdebug.record(tmp_path / "run.jsonl"):
            trained(2)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(8):
        with graphdebug.record(tmp_path / "run.jsonl"):
            trained(2)
    gc.collect()
    assert len(gc.get_objects()) < before + 300
    assert context.context().op_callbacks == []


def test_ctrl_c_ends_the_program_and_the_log_is_whole(tmp_path):
    path = tmp_path / "run.jsonl"
    timer = threading.Timer(1.0, signal.raise_signal, [signal.SIGINT])
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), graphdebug.record(path, level="stats"):
        timer.start()
        while time.monotonic() - began < 60:
            trained(1)
    run = graphdebug.load(path)
    assert not run.damage
    assert run.end.status == "interrupted"


def test_what_fails_inside_of_the_recorder_is_one_warning_and_the_program_goes_on(tmp_path, monkeypatch):
    from graphdebug.backends.tensorflow.two.clerk import Clerk

    def broken(*_):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Clerk, "learn", broken)
    expected = trained(2).numpy()
    path = tmp_path / "run.jsonl"
    with pytest.warns(graphdebug.GraphDebugWarning, match="broken on purpose"), graphdebug.record(path):
        found = trained(2).numpy()
    assert np.array_equal(found, expected)
    assert len(list(graphdebug.load(path).tool_errors)) > 3
