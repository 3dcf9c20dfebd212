"""A session's log says of steps alike only what differs, and loses next to nothing where it is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tensorflow as tf

import graphdebug
from graphdebug.log import folding

tf1 = tf.compat.v1

ENDLESS = """
    import sys, numpy as np, tensorflow as tf, graphdebug
    tf1 = tf.compat.v1
    tf1.disable_eager_execution()
    x = tf1.placeholder(tf.float32, [4, 3])
    w = tf1.get_variable("w", [3, 2])
    loss = tf.reduce_mean(tf.square(tf.matmul(x, w)))
    train = tf1.train.GradientDescentOptimizer(0.01).minimize(loss)
    session = tf1.Session()
    session.run(tf1.global_variables_initializer())
    with graphdebug.record(sys.argv[1], level="stats"):
        while True:
            session.run([loss, train], {x: np.ones([4, 3], "f")})
"""


def train(path, steps, level):
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(1)
        x = tf1.placeholder(tf.float32, [None, 3])
        w = tf1.get_variable("w", [3, 2], use_resource=True)
        loss = tf.reduce_mean(tf.square(tf.nn.relu(tf.matmul(x, w)) - 1))
        update = tf1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
        session.run(tf1.global_variables_initializer())
        with graphdebug.record(path, level=level) as run:
            for step in range(steps):
                rows = np.full([5 if step % 4 == 3 else 4, 3], 0.1 * step, "f")
                session.run([loss, update], {x: rows})
    assert not run.tool_errors
    return [*run.nodes, *run.gradients]


@pytest.mark.parametrize("level", ["shapes", "health", "stats"])
def test_a_folded_log_gives_the_nodes_and_gradients_of_the_log_in_full(tmp_path, monkeypatch, level):
    events = []
    for name, in_full in (("folded", folding._IN_FULL), ("full", 10**9)):
        monkeypatch.setattr(folding, "_IN_FULL", in_full)
        events.append(train(tmp_path / f"{name}.jsonl", 20, level))
    assert events[0] == events[1]
    kinds = [json.loads(line)["event"] for line in (tmp_path / "folded.jsonl").read_text().splitlines()]
    assert kinds.count("form") == 2
    assert kinds.count("filled") > 10


def test_a_killed_process_leaves_a_log_that_reads_up_to_the_last_twentieth_of_a_second(tmp_path):
    path = tmp_path / "run.jsonl"
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(ENDLESS), path])
    until = time.monotonic() + 120
    while time.monotonic() < until and (not path.exists() or b'"event":"filled"' not in path.read_bytes()):
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = graphdebug.load(path)
    assert len(run.damage) <= 1
    assert run.end is None
    steps = list(run.store.steps())
    assert len(steps) > 50
    assert steps == list(range(len(steps)))
    first, last = (sum(node.step == step for node in run.nodes) for step in (steps[1], steps[-1]))
    assert first == last > 5
    seen = [fact.stats for node in run.step(steps[-1]).nodes for fact in node.outputs]
    assert sum(one is not None for one in seen) > 5
