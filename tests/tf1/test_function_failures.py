"""A call that fails inside functions that a TF1 session runs: the op inside is named, at its own line."""

from __future__ import annotations

import linecache

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def failed(program):
    """Run a program that fails under a recording; return its failure, the run and the report."""
    with (
        pytest.raises(tf.errors.InvalidArgumentError) as caught, graphdebug.record() as run,
        tf.Graph().as_default(), tf1.Session() as session,
    ):  # fmt: skip
        program(session)
    assert not run.tool_errors
    (failure,) = run.failures
    return failure, run, caught.value.__notes__[0]


def line_of(site):
    return linecache.getline(site.file, site.line).strip()


def classify(values):
    hidden = tf.nn.relu(values)
    return tf.matmul(hidden, tf.ones([4, 2]))  # the failing line


def in_one_function(session):
    x = tf1.placeholder(tf.float32, [None, None])
    scores = tf.function(classify)(x)
    session.run(scores, {x: np.ones((2, 3))})


def in_a_function_that_a_function_calls(session):
    x = tf1.placeholder(tf.float32, [None, None])
    inner = tf.function(classify)
    scores = tf.function(lambda values: inner(values * 2.0))(x)
    session.run(scores, {x: np.ones((2, 3))})


def in_a_function_of_a_computed_value(session):
    x = tf1.placeholder(tf.float32, [None, None])
    scores = tf.function(classify)(x + 1.0)
    session.run(scores, {x: np.ones((2, 3))})


@pytest.mark.parametrize(
    "program", [in_one_function, in_a_function_that_a_function_calls, in_a_function_of_a_computed_value]
)
def test_the_op_inside_a_function_is_named_at_its_line_with_its_operands(program):
    failure, run, report = failed(program)
    assert (failure.category, failure.op) == ("shape", "MatMul"), report
    assert line_of(failure.site).endswith("# the failing line")
    assert [one.fact.shape for one in failure.operands] == [(2, 3), (4, 2)]
    assert run.producer(failure.operands[0]).op == "Relu"
    assert "2x3 has 3 columns, 4x2 has 4 rows" in report
