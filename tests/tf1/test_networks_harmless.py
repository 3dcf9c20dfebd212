"""A few steps of training give the same bits at every level; twenty, in each mode: tests/unharmed."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tests.tf1.networks import CASES, built

import graphdebug

tf1 = tf.compat.v1


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


def _bits(results):
    flat = tf.nest.flatten(results)
    return [one.tobytes() for one in flat if one is not None]
