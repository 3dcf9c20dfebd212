"""A call that fails inside functions that a TF1 session runs: the op inside is named, at its own line."""

from __future__ import annotations

import linecache

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.function import Defun

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


def test_an_op_inside_a_defun_is_named_at_the_line_that_calls_the_function():
    def program(session):
        x = tf1.placeholder(tf.float32, [None, None])
        scores = Defun(tf.float32)(classify)(x)  # the call
        session.run(scores, {x: np.ones((2, 3))})

    failure, run, report = failed(program)
    assert (failure.category, failure.name) == ("shape", "MatMul")
    assert line_of(failure.site).endswith("# the call")
    assert [one.fact.shape for one in failure.operands] == [(2, 3), (4, 2)]
    assert run.producer(failure.operands[0]).op == "Relu"
    first = report.splitlines()[0]
    assert "node MatMul of function classify_" in first
    assert "which keeps no lines" in first


def test_a_defun_that_is_random_is_not_run_again_and_what_its_message_says_is_used():
    def program(session):
        x = tf1.placeholder(tf.float32, [None, None])

        def noisy(values):
            return classify(values + tf.random.uniform([]))

        scores = Defun(tf.float32)(noisy)(x)  # the call
        session.run(scores, {x: np.ones((2, 3))})

    failure, run, _ = failed(program)
    assert line_of(failure.site).endswith("# the call")
    assert (failure.name, [one.fact.shape for one in failure.operands]) == ("MatMul", [(2, 3), (4, 2)])
    assert any("was not opened" in one.text for one in run.notices)


@pytest.mark.parametrize("nested", [False, True])
def test_a_function_that_is_random_is_not_run_again_and_its_failing_line_is_named(nested):
    def program(session):
        x = tf1.placeholder(tf.float32, [None, None])
        inner = tf.function(classify) if nested else classify
        layer = tf.function(lambda values: inner(tf.nn.dropout(values, 0.5)))
        session.run(layer(x), {x: np.ones((2, 3))})

    failure, run, report = failed(program)
    assert (failure.category, failure.op) == ("shape", "MatMul")
    assert line_of(failure.site).endswith("# the failing line")
    assert [one.fact.shape for one in failure.operands] == [(2, 3), (4, 2)]
    assert run.producer(failure.operands[0]).op == "Relu"
    assert run.producer(failure.operands[0]).execution == "inferred"
    assert "2x3 has 3 columns, 4x2 has 4 rows" in report


def imported(session):
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None, None], name="x")
        with tf.name_scope("head"):
            tf.matmul(tf.nn.relu(x), tf.ones([4, 2]), name="scores")
        saved = tf1.train.export_meta_graph()
    tf1.train.import_meta_graph(saved)
    session.run("head/scores:0", {"x:0": np.ones((2, 3))})


def test_a_failure_in_an_imported_metagraph_names_node_and_scope_and_says_that_there_is_no_line():
    failure, run, report = failed(imported)
    assert (failure.category, failure.name, failure.op) == ("shape", "head/scores", "MatMul")
    assert run.node(failure.node).module == "head"
    assert line_of(failure.site).startswith("session.run(")
    assert "node head/scores of an imported graph, which keeps no lines" in report.splitlines()[0]
    assert "2x3 has 3 columns, 4x2 has 4 rows" in report


def test_an_assignment_that_a_branch_refuses_is_told_at_its_line():
    """A branch is a function of its own: in it, a reference variable from around it is a plain tensor."""
    with pytest.raises(TypeError, match="AssignAdd"), graphdebug.record() as run, tf.Graph().as_default():
        total = tf1.get_variable("total", [], use_resource=False)
        tf1.cond(
            tf1.placeholder(tf.bool, []),
            lambda: tf1.assign_add(total, 1.0),
            lambda: tf.identity(total),
        )
    assert run.tool_errors == []
    assert line_of(run.findings[0].site) == "lambda: tf1.assign_add(total, 1.0),"
