"""tf.data in sessions: what its functions do is listed, and a NaN that one made is told by its line."""

from __future__ import annotations

import linecache

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1
KINDS = pytest.mark.parametrize("kind", ["one shot", "initializable"])


def line_of(site):
    return linecache.getline(site.file, site.line).strip()


def batches_of(rows, kind, session):
    if kind == "one shot":
        return tf1.data.make_one_shot_iterator(rows).get_next()
    iterator = tf1.data.make_initializable_iterator(rows)
    session.run(iterator.initializer)
    return iterator.get_next()


def logs(row):
    scaled = row * 2.0
    return tf.math.log(scaled)


def run_of(kind, steps=2, function=logs):
    values = np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0], [2.0, 2.0]], "f")
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record() as run:
        rows = tf.data.Dataset.from_tensor_slices(values).map(function).batch(2)
        total = tf.reduce_sum(batches_of(rows, kind, session))
        for _ in range(steps):
            session.run(total)
    assert not run.tool_errors
    return run


@KINDS
def test_the_ops_of_a_map_are_listed_once_and_lead_to_the_batch(kind):
    run = run_of(kind)
    (log,) = [node for node in run.nodes if node.op == "Log"]
    assert (log.execution, line_of(log.site)) == ("inferred", "return tf.math.log(scaled)")
    batches = [node for node in run.nodes if node.op == "IteratorGetNext"]
    assert len(batches) == 2
    for batch in batches:
        dataset = run.producer(batch.inputs[0])
        assert (dataset.op, dataset.function) == ("BatchDatasetV2", "dataset")
        assert log in list(run.chain(dataset.inputs[0]))[:2]
    (notice,) = [one for one in run.notices if one.topic == "blind"]
    assert "tf.data runs logs (test_session_pipelines.py:" in notice.text


@KINDS
def test_a_value_that_is_not_finite_is_told_by_the_line_of_the_map(kind):
    finding = run_of(kind).findings[0]
    assert line_of(finding.site) == "return tf.math.log(scaled)", finding.text


@KINDS
def test_right_values_have_no_finding(kind):
    assert list(run_of(kind, function=lambda row: tf.math.log(row + 1.0)).findings) == []


def test_an_iterator_of_two_datasets_is_not_told_which():
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record() as run:
        first = tf.data.Dataset.from_tensor_slices(np.ones(3, "f")).map(lambda x: x * 2.0)
        second = tf.data.Dataset.from_tensor_slices(np.ones(3, "f")).map(lambda x: x * 3.0)
        iterator = tf1.data.Iterator.from_structure(tf1.data.get_output_types(first), [])
        item, starts = iterator.get_next(), [iterator.make_initializer(one) for one in (first, second)]
        for start in starts:
            session.run(start)
            session.run(item)
    assert not run.tool_errors
    assert [node.op for node in run.nodes if node.op == "Mul"] == []
