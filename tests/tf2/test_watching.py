"""`tf_debugging` and `break_on` in eager code, functions and Keras: as in sessions, and as in PyTorch."""

from __future__ import annotations

import io
import linecache

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug

LEVELS = pytest.mark.parametrize("level", ["shapes", "health", "stats", "values"])


def line_of(site):
    return linecache.getline(site.file, site.line).strip()


def differentiate(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        roots = tf.sqrt(x)
        loss = tf.reduce_sum(roots)
    return tape.gradient(loss, x)


@tf.function
def logs(x):
    made = tf.math.log(x)
    return made * 2.0


def raised(work, **options):
    with (
        pytest.raises(tf.errors.InvalidArgumentError) as caught,
        graphdebug.record(tf_debugging=True, **options) as run,
    ):
        work()
    assert run.tool_errors == []
    (failure,) = run.failures
    assert any(note.startswith("graphdebug: ") for note in caught.value.__notes__)
    return run, failure, caught.value


@LEVELS
def test_tf_debugging_raises_at_the_eager_op_that_gave_it_and_before_the_next(level):
    seen = []

    def work():
        made = tf.math.log(tf.constant([0.0, 1.0]))
        seen.append(made)

    run, failure, error = raised(work, level=level)
    assert (failure.category, failure.detail, failure.op) == ("nonfinite", {"values": "-Inf"}, "Log")
    assert line_of(failure.site) == "made = tf.math.log(tf.constant([0.0, 1.0]))"
    assert "Tensor had -Inf values" in str(error)
    assert run.findings[0].kind == "nonfinite"
    assert seen == []


@LEVELS
def test_tf_debugging_names_the_forward_line_of_a_gradient(level):
    run, failure, _ = raised(lambda: differentiate(tf.constant([0.0, 1.0])), level=level)
    assert (failure.op, failure.phase, failure.detail) == ("SqrtGrad", "backward", {"values": "Inf"})
    assert line_of(run.findings[0].site) == "roots = tf.sqrt(x)"


@LEVELS
def test_tf_debugging_raises_when_the_function_that_gave_it_returns(level):
    run, failure, error = raised(lambda: logs(tf.constant([0.0, 1.0])), level=level)
    assert (failure.op, failure.mode, failure.name) == ("Log", "function", "Log")
    assert line_of(run.findings[0].site) == "made = tf.math.log(x)"
    assert f"{__file__}:{failure.site.line}" in str(error)


@pytest.mark.parametrize("eagerly", [False, True])
def test_tf_debugging_stops_a_fit_at_the_users_layer(eagerly):
    class Root(keras.layers.Layer):
        def call(self, x):
            return tf.sqrt(x - 100.0)

    model = keras.Sequential([keras.layers.Dense(3), Root()])
    model.compile("sgd", "mse", run_eagerly=eagerly)
    run, failure, _ = raised(lambda: model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0))
    assert (failure.op, failure.detail) == ("Sqrt", {"values": "NaN"})
    assert line_of(run.findings[0].site) == "return tf.sqrt(x - 100.0)"


def test_finite_programs_are_not_stopped():
    with graphdebug.record(tf_debugging=True, break_on="nonfinite") as run:
        differentiate(tf.constant([1.0, 4.0]))
        logs(tf.constant([1.0, 2.0]))
    assert run.nodes
    assert run.failures == []


def test_break_on_opens_the_debugger_at_the_eager_line_with_the_tensor(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("p offending.numpy() * value\np tf.exp(offending)\nc\n"))
    value = 21
    with graphdebug.record(break_on="nonfinite", level="shapes") as run:
        tf.sqrt(tf.constant([4.0 * value / 21]))
        made = tf.math.log(tf.constant([-1.0, 1.0]))
    shown = capsys.readouterr().out
    assert "graphdebug: log (Log, forward) made offending, at test_watching.py:" in shown
    assert "-> made = tf.math.log(tf.constant([-1.0, 1.0]))" in shown
    assert "array([nan,  0.]" in shown
    assert [node.op for node in run.nodes] == ["Sqrt", "Log"], "what was computed at the prompt is not recorded"
    assert made.shape == (2,)


def test_break_on_opens_the_debugger_where_the_function_was_called(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("p value * 2\nc\n"))
    value = 21
    with graphdebug.record(break_on="nonfinite"):
        logs(tf.constant([1.0, 2.0]))
        logs(tf.constant([value * 0.0, 1.0]))
    shown = capsys.readouterr().out
    assert "graphdebug: Log (Log, forward) made it, built at test_watching.py:" in shown
    assert "-> logs(tf.constant([value * 0.0, 1.0]))" in shown
    assert "42" in shown


def test_a_predicate_is_asked_for_every_node_with_the_facts_of_its_outputs(monkeypatch, capsys):
    asked = []

    def wanted(node, facts):
        asked.append((node.op, facts[0].shape))
        return node.op == "Exp"

    monkeypatch.setattr("sys.stdin", io.StringIO("c\n"))
    with graphdebug.record(break_on=wanted):
        logs(tf.exp(tf.constant([1.0, 2.0])))
    assert asked == [("Exp", (2,)), ("Log", (2,)), ("Mul", (2,))]
    assert "graphdebug: exp (Exp, forward) made offending" in capsys.readouterr().out


def test_pythonbreakpoint_0_switches_breakpoints_off(monkeypatch):
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    with graphdebug.record(break_on="nonfinite") as run:
        tf.math.log(tf.constant([0.0]))
    assert run.nodes[0].outputs[0].finite is False
