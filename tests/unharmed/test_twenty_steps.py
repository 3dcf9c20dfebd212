"""Twenty steps give the same bits, variables and random state with a recording: one table over all modes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unharmed import fits, sessions, two
from tests.unharmed.unharmed import hold

HERE = Path(__file__).parents[2]
TABLE = [
    *(("session", name, mode, {}) for name, mode in sessions.MODES.items()),
    *(("session", name, mode, {"before": True}) for name, mode in sessions.BEFORE.items()),
    *(("session with our hook", name, mode, {"hooked": True}) for name, mode in sessions.HOOKED.items()),
    *(("tensorflow 2", name, mode, {}) for name, mode in two.MODES.items()),
    *(("tensorflow 2", name, mode, {"before": True}) for name, mode in two.BEFORE.items()),
    *(("keras on tensorflow", name, mode, {}) for name, mode in fits.ON_TENSORFLOW.items()),
    ("keras on tensorflow", "fit, steps_per_execution", fits.fit(steps_per_execution=5), {"steps": 4}),
]


@pytest.mark.parametrize(
    ("mode", "options"), [row[2:] for row in TABLE], ids=[f"{kind}: {name}" for kind, name, *_ in TABLE]
)
def test_twenty_steps_are_the_same(mode, options, tmp_path):
    hold(mode, tmp_path, **options)


def start(group, folder, **more):
    """Hold a group of modes to it in a process of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    plain = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "TF_CONFIG")}
    command = [sys.executable, "-m", "tests.unharmed.unharmed", group, str(folder)]
    return subprocess.Popen(
        command, cwd=HERE, env={**plain, **threads, "TF_CPP_MIN_LOG_LEVEL": "2", **more},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def end(*processes):
    try:
        said = [one.communicate(timeout=240)[0] for one in processes]
    finally:
        for one in processes:
            one.kill()
    assert [one.returncode for one in processes] == [0] * len(processes), "\n".join(one[-3000:] for one in said)
    return said


@pytest.mark.timeout(300)
def test_twenty_steps_of_keras_on_torch_are_the_same(tmp_path):
    (said,) = end(start("on_torch", tmp_path, KERAS_BACKEND="torch"))
    assert [line for line in said.splitlines() if line in fits.ON_TORCH] == list(fits.ON_TORCH)


@pytest.mark.timeout(300)
def test_twenty_steps_of_a_mirrored_strategy_on_two_cpus_are_the_same(tmp_path):
    end(start("on_two_cpus", tmp_path))


@pytest.mark.timeout(300)
def test_twenty_steps_of_two_workers_are_the_same(tmp_path):
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(2)]
    end(
        *(
            start("of_two_workers", tmp_path / str(at), TF_CONFIG=json.dumps(task))
            for at, task in enumerate(tasks)
        )
    )


def free_ports(count):
    servers = [socket.socket() for _ in range(count)]
    for server in servers:
        server.bind(("localhost", 0))
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ports
