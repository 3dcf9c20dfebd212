"""MirroredStrategy in one process, and two workers with a log each that are read as one run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest

import graphdebug

MIRRORED = """
    import tensorflow as tf
    import graphdebug

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        w = tf.Variable(tf.ones([3, 2]), name="w")

    @tf.function
    def step(x):
        def replica(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(tf.matmul(x, w)))
            grad = tape.gradient(loss, w)
            w.assign_sub(0.01 * tf.distribute.get_replica_context().all_reduce("sum", grad))
            return loss

        return strategy.reduce("sum", strategy.run(replica, args=(x,)), axis=None)

    def train():
        w.assign(tf.ones([3, 2]))
        for i in range(3):
            step(tf.ones([4, 3]) * (i + 1))

    with graphdebug.record() as run:
        train()
    assert list(run.steps)[:3] == [0, 1, 2]
    assert not run.tool_errors, run.tool_errors
    nodes = run.step(1).nodes
    products = [node for node in nodes if node.op == "MatMul" and node.phase == "forward"]
    assert [node.outputs[0].device for node in products] == ["cpu", "cpu:1"], products
    assert [node.inputs[1].name for node in products] == ["w", "w/replica_1"], products
    assert sum(node.family == "collective" for node in nodes) == 2
    assert {node.site.file for node in products} == {__file__}, products
    with graphdebug.record() as run:
        strategy.run(lambda: tf.exp(w))
    assert [node.op for node in run.step(0).nodes].count("Exp") == 2
"""

WORKER = """
    import sys
    import keras
    import numpy as np
    import tensorflow as tf
    import graphdebug

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(1)
    with strategy.scope():
        w = tf.Variable(tf.ones([3, 2]), name="w")

    @tf.function
    def step(x):
        def replica(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(tf.matmul(x, w)))
            grad = tape.gradient(loss, w)
            w.assign_sub(0.01 * tf.distribute.get_replica_context().all_reduce("sum", grad))
            return loss

        return strategy.reduce("sum", strategy.run(replica, args=(x,)), axis=None)

    def train():
        w.assign(tf.ones([3, 2]))
        for _ in range(3):
            step(tf.ones([4, 3]))

    with graphdebug.record(sys.argv[1]):
        train()
"""


def _environment(**more):
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    plain = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "TF_CONFIG")}
    return {**plain, **threads, "TF_CPP_MIN_LOG_LEVEL": "2", **more}


def test_two_replicas_in_one_process_are_told_apart(tmp_path):
    script = tmp_path / "mirrored.py"
    script.write_text(textwrap.dedent(MIRRORED))
    done = subprocess.run(
        [sys.executable, script], env=_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def _free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


@pytest.mark.timeout(180)
def test_two_workers_write_a_file_each_and_are_read_as_one_run(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    cluster = {"worker": [f"localhost:{_free_port()}" for _ in range(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, script, tmp_path / "logs" / "run.jsonl"],
            env=_environment(TF_CONFIG=json.dumps(task)),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for task in tasks
    ]  # fmt: skip
    try:
        said = [worker.communicate(timeout=150)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], said[0][-3000:] + said[1][-3000:]
    logs = sorted(file.name for file in (tmp_path / "logs").glob("*.jsonl"))
    assert logs == ["run.rank0.jsonl", "run.rank1.jsonl"]
    run = graphdebug.load(tmp_path / "logs")
    products = [node for node in run.step(1).nodes if node.op == "MatMul" and node.phase == "forward"]
    assert len(products) == 2
    assert run.damage == []
