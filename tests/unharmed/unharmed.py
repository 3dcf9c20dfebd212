"""What every mode is held to: the same bits with a recording, of which twenty steps are there to be read.

Also a program: ``python -m tests.unharmed.unharmed on_torch FOLDER`` holds a group of modes to it, in a process
of its own.
"""

from __future__ import annotations

import importlib
import random
import sys
from functools import partial
from pathlib import Path

import numpy as np

import graphdebug

LEVELS = ("health", "stats")
"""Those that most is done for; tests/tf1/test_networks_harmless.py has the others."""
STEPS = 20
_GROUPS = {
    "on_torch": lambda: _module("fits").ON_TORCH,
    "on_two_cpus": lambda: _module("strategies").on_two_cpus(),
    "of_two_workers": lambda: _module("strategies").of_two_workers(),
}


def hold(train, folder, levels=LEVELS, *, before=False, hooked=False, steps=STEPS):
    """Train without and with a recording at each level, and compare.

    Args:
        train: trains twenty steps in a folder, and returns all that came of it.
        folder: for its files.
        levels: to record at.
        before: whether `train` only sets up, and returns what trains.
        hooked: whether `train` takes hooks, one of which records.
        steps: how many there are to be seen: several can be one run of a function.

    """
    plain = _bits(_set_up(train, folder / "plain", before=before)())
    for level in levels:
        if hooked:
            from graphdebug.tensorflow import SessionRunHook

            hook = SessionRunHook(folder / f"{level}.jsonl", level=level)
            recorded = _bits(_set_up(partial(train, hooks=[hook]), folder / level, before=False)())
        else:
            train_once = _set_up(train, folder / level, before=before)
            with graphdebug.record(folder / f"{level}.jsonl", level=level, gradients="all"):
                recorded = _bits(train_once())
        assert recorded == plain, f"not the same bits at level {level}"
        run = graphdebug.load(folder / f"{level}.jsonl")
        assert not run.tool_errors, run.tool_errors
        assert not list(run.failures)
        phases = [{node.phase for node in run.step(step).nodes} for step in run.steps]
        assert sum("optimizer" in one for one in phases) >= steps, phases


def _set_up(train, folder, *, before):
    folder.mkdir(parents=True)
    random.seed(1)
    np.random.seed(1)
    return train(folder) if before else lambda: train(folder)


def _bits(results):
    """Return the bytes of all that a training gave, and the state of Python's and numpy's random numbers."""
    kept = [results, np.random.get_state()[1], np.array(random.getstate()[1])]
    return [np.asarray(one).tobytes() for one in _flat(kept)]


def _flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [inner for one in value for inner in _flat(one)]
    return [] if value is None else [value]


def _module(name):
    return importlib.import_module(f"tests.unharmed.{name}")


if __name__ == "__main__":
    for name, mode in _GROUPS[sys.argv[1]]().items():
        print(name, flush=True)
        hold(mode, Path(sys.argv[2]) / name)
