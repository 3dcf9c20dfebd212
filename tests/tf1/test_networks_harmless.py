"""Twenty steps of training give the same bits with a recording: networks, session kinds, variables, levels."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tests.tf1.networks import CASES, built

import graphdebug
from graphdebug.tensorflow import SessionRunHook

tf1 = tf.compat.v1
STEPS = 20


@pytest.mark.parametrize("level", ["shapes", "health", "stats", "values"])
@pytest.mark.parametrize(("name", "version"), CASES)
def test_a_network_trains_to_the_same_bits_at_every_level(name, version, level):
    def trained(steps=5):
        with built(name, version) as network, tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            results = [session.run(network.fetches, network.feeds(step)) for step in range(steps)]
            return _bits([*results, session.run(tf1.global_variables())])

    plain = trained()
    with graphdebug.record(level=level, gradients="all") as run:
        assert trained() == plain
    assert run.nodes
    assert not run.tool_errors
    assert not run.failures


def monitored(kind, hooks, folder, references):
    with built("gan", references=references) as network:
        step = tf1.train.get_or_create_global_step()
        fetches = [*network.fetches, tf1.assign_add(step, 1)]
        variables = tf1.global_variables()
        if kind == "MonitoredSession":
            opened = tf1.train.MonitoredSession(hooks=hooks)
        else:
            opened = tf1.train.MonitoredTrainingSession(
                checkpoint_dir=str(folder), hooks=hooks, save_checkpoint_steps=7, log_step_count_steps=5
            )
        with opened as session:
            results = [session.run(fetches, network.feeds(number)) for number in range(STEPS)]
            return _bits([*results, session.run(variables)])


@pytest.mark.parametrize("level", ["shapes", "health", "stats", "values"])
@pytest.mark.parametrize("references", [False, True], ids=["resource", "reference"])
@pytest.mark.parametrize("kind", ["MonitoredSession", "MonitoredTrainingSession"])
def test_a_monitored_session_trains_to_the_same_bits(kind, references, level, tmp_path):
    plain = monitored(kind, [], tmp_path / "plain", references)
    hook = SessionRunHook(level=level)
    assert monitored(kind, [hook], tmp_path / "hook", references) == plain
    with graphdebug.record(level=level) as run:
        assert monitored(kind, [], tmp_path / "block", references) == plain
    for one in (hook.run, run):
        assert not one.tool_errors
        assert not one.failures
        assert sum(node.name == "d_train" for node in one.nodes) == STEPS


def _bits(results):
    flat = tf.nest.flatten(results)
    return [one.tobytes() for one in flat if one is not None]
