"""Calls of a function that are like an earlier one: rendered from it, each says what it alone did."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import graphdebug


@tf.function
def scaled(x):
    return tf.nn.relu(x * 2.0, name="kept") - 1.0


@pytest.mark.parametrize("to_file", [False, True])
def test_each_call_has_its_own_argument_and_statistics(to_file, tmp_path):
    random = np.random.RandomState(0)
    arrays = [random.randn(6).astype("f") for _ in range(5)]
    arrays[3][2] = np.nan
    scaled(tf.zeros([6]))
    results = []
    with graphdebug.record(tmp_path / "run.jsonl" if to_file else None, level="stats") as run:
        for array in arrays:
            argument = tf.negative(tf.constant(array))
            results.append(tf.square(scaled(argument)))
    assert not run.tool_errors
    inside = [node for node in run.nodes if node.op == "Mul" and node.mode == "function"]
    squares = [node for node in run.nodes if node.op == "Square"]
    assert len(inside) == len(squares) == len(arrays)
    for array, node, square in zip(arrays, inside, squares, strict=True):
        producer = run.producer(node.inputs[0])
        assert producer.op == "Neg"
        assert producer.seq < node.seq < square.seq
        assert run.producer(square.inputs[0]).op == "Sub"
        stats, finite = node.outputs[0].stats, np.isfinite(array).all()
        assert node.outputs[0].finite == finite
        if finite:
            assert np.allclose([stats.min, stats.max], [(-2 * array).min(), (-2 * array).max()], rtol=1e-6)
            assert np.isclose(stats.std, (2 * array).std(), rtol=1e-5)
        else:
            assert stats.nan == 1


@pytest.mark.parametrize("level", ["health", "stats"])
def test_calls_after_a_first_one_with_nan_are_not_taken_for_it(level):
    function = tf.function(lambda x: tf.math.log(x) * x)
    with graphdebug.record(level=level) as run:
        for value in (-1.0, 2.0, -1.0, 3.0, 4.0):
            function(tf.fill([3], value))
    assert run.tool_errors == []
    finite = [node.outputs[0].finite for node in run.nodes if node.op == "Log"]
    assert finite == [False, True, False, True, True]
    counted = [one.outputs[0].stats.nan for one in run.nodes if one.op == "Mul" and not one.outputs[0].finite]
    assert counted == [3, 3]
