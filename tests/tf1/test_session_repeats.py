"""Steps that are like an earlier one: they are rendered from it, and say what a step of their own would."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from msgspec.structs import replace

import graphdebug

tf1 = tf.compat.v1
EPSILON = 1e-5


def network():
    """Return graph, feed, fetches: a layer that is trained, and its activations."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf1.placeholder(tf.float32, [None, 4], "x")
        w = tf1.get_variable("w", [4, 3], initializer=tf1.constant_initializer(0.5), use_resource=True)
        product = tf.matmul(x, w, name="product")
        h = tf.nn.relu(product, name="h")
        picked = tf.boolean_mask(h, h[:, 0] > 0, name="picked")
        loss = tf.reduce_mean(tf.square(h)) + tf.reduce_sum(picked) * 0.01
        train = tf1.train.GradientDescentOptimizer(0.01).minimize(loss)
        init = tf1.global_variables_initializer()
    return graph, x, (product, loss, train), init


def recorded(batches, **options):
    graph, x, fetches, init = network()
    activations = []
    with tf1.Session(graph=graph) as session:
        session.run(init)
        with graphdebug.record(**options) as run:
            activations = [session.run(fetches, {x: batch})[0] for batch in batches]
    assert not run.tool_errors
    return run, activations


def batches(*sizes):
    random = np.random.RandomState(0)
    return [random.randn(size, 4).astype("f") for size in sizes]


def without_numbers(node, first):
    """Return a node without what may differ between alike steps; references as distances."""
    shift = lambda seq: None if seq is None else seq - first  # noqa: E731
    lean = [replace(fact, stats=None) for fact in node.outputs]
    inputs = [replace(one, producer=shift(one.producer)) for one in node.inputs]
    return replace(
        node,
        seq=node.seq - first,
        step=0,
        forward=shift(node.forward),
        outputs=tuple(lean),
        inputs=tuple(inputs),
    )


@pytest.mark.parametrize("level", ["shapes", "health", "stats"])
def test_every_step_says_what_the_first_one_says(level):
    run, _ = recorded(batches(8, 8, 8, 8), level=level)
    steps = [run.step(number).nodes for number in run.steps]
    assert len(steps) == 4
    varying = {"picked", "Where", "GatherV2"}
    for nodes in steps[1:]:
        assert len(nodes) == len(steps[0])
        for node, model in zip(nodes, steps[0], strict=True):
            if not any(word in node.name for word in varying) and "SelectV2" not in node.op:
                same = without_numbers(node, nodes[0].seq)
                there = without_numbers(model, steps[0][0].seq)
                assert (same.op, same.name, same.site, same.forward) == (
                    there.op,
                    there.name,
                    there.site,
                    there.forward,
                )
                assert same.execution == there.execution
                assert [one.producer for one in same.inputs] == [one.producer for one in there.inputs]


@pytest.mark.parametrize("to_file", [False, True])
def test_statistics_of_each_step_are_those_of_its_own_tensors(to_file, tmp_path):
    path = tmp_path / "run.jsonl" if to_file else None
    run, activations = recorded(batches(8, 8, 8, 5, 8), level="stats", path=path)
    for number, array in zip(run.steps, activations, strict=True):
        node = next(one for one in run.step(number).nodes if one.name == "product")
        (fact,) = node.outputs
        assert fact.shape == array.shape
        assert fact.finite
        assert fact.stats.zero == np.sum(array == 0)
        found = [fact.stats.min, fact.stats.max, fact.stats.mean, fact.stats.std, fact.stats.l2]
        expected = [array.min(), array.max(), array.mean(), array.std(), np.sqrt(np.square(array).sum())]
        assert np.allclose(found, expected, rtol=EPSILON)


@pytest.mark.parametrize("level", ["health", "stats"])
def test_a_nan_in_a_later_step_is_seen_in_that_step(level):
    given = batches(8, 8, 8, 8)
    given[2][3, 1] = np.nan
    run, _ = recorded(given, level=level)
    steps = list(run.steps)
    matmul = [next(one for one in run.step(number).nodes if one.op == "MatMul") for number in steps]
    assert [node.outputs[0].finite for node in matmul[:3]] == [True, True, False]
    assert matmul[2].outputs[0].stats.nan == 3
    assert matmul[2].inputs[0].fact.finite is False


def test_shapes_follow_the_feeds_of_each_step():
    run, activations = recorded(batches(8, 8, 3, 8, 3), level="shapes")
    for number, array in zip(run.steps, activations, strict=True):
        node = next(one for one in run.step(number).nodes if one.name == "product")
        assert node.outputs[0].shape == array.shape


def test_a_file_says_what_memory_says(tmp_path):
    places = (None, tmp_path / "run.jsonl")
    in_memory, in_file = [recorded(batches(8, 8, 8), level="stats", path=path)[0] for path in places]
    assert list(in_file.nodes) == list(in_memory.nodes)
    assert list(in_file.gradients) == list(in_memory.gradients)


def test_values_of_each_step_are_its_own_also_where_the_first_tensor_repeats():
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record(level="values") as run:
        x = tf1.placeholder(tf.float32, [2])
        same, other = tf.abs(x, name="same"), tf.exp(x, name="other")
        for sign in (1.0, 1.0, -1.0):
            session.run([same, other], {x: [sign, sign]})
    found = [node.outputs[0].values for node in run.nodes if node.name == "other"]
    assert [one[0] for one in found] == pytest.approx([np.exp(1), np.exp(1), np.exp(-1)], rel=1e-6)
    assert not run.tool_errors


@pytest.mark.parametrize("level", ["health", "stats"])
def test_runs_that_stay_non_finite_are_rendered_from_each_other_with_counts_of_their_own(level, tmp_path):
    graph, x, (product, *_), init = network()
    spoilt = [0, 1, 2, 2, 1, 3, 0, 0, 5, 4, 3, 8, 7, 6]
    path = tmp_path / "run.jsonl"
    with tf1.Session(graph=graph) as session:
        session.run(init)
        with graphdebug.record(path, level=level) as run:
            for rows, batch in zip(spoilt, batches(*[8] * len(spoilt)), strict=True):
                batch[:rows, 1] = np.nan
                assert np.isnan(session.run(product, {x: batch})).sum() == 3 * rows
    facts = [node.outputs[0] for node in run.nodes if node.name == "product"]
    assert [fact.finite for fact in facts] == [rows == 0 for rows in spoilt]
    assert [fact.stats.nan if fact.stats else 0 for fact in facts] == [3 * rows for rows in spoilt]
    assert b'"event":"filled"' in path.read_bytes()
    assert not run.tool_errors
