"""NaN, infinity and silent faults in TF1 graphs: the finding names the line where they were born."""

from __future__ import annotations

import io
import linecache

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def line_of(site) -> str:
    return linecache.getline(site.file, site.line).strip()


def zeros(name, shape, references):
    return tf1.get_variable(name, shape, initializer=tf1.zeros_initializer(), use_resource=not references)


def recorded(build, steps=3, references=False):
    """Train what `build(x, weight)` makes the loss of, with a weight of zeros."""
    with graphdebug.record() as run, tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        weight = zeros("weight", [3, 1], references)
        loss = build(x, weight)
        train = tf1.train.AdamOptimizer(0.1).minimize(loss)
        session.run(tf1.global_variables_initializer())
        for _ in range(steps):
            session.run([loss, train], {x: np.ones((4, 3))})
    assert not run.tool_errors
    return run


def log_of_zero(x, weight):
    scores = tf.matmul(x, weight)
    logs = tf.math.log(scores)
    return tf.reduce_mean(logs)


def root_of_zero(x, weight):
    scores = tf.matmul(x, weight)
    roots = tf.sqrt(scores)
    return tf.reduce_mean(roots)


def masked_log(x, weight):
    scores = tf.matmul(x, weight)
    logs = tf.math.log(scores)
    return tf.reduce_mean(tf.where(scores > 0, logs, tf.zeros_like(logs)))


@pytest.mark.parametrize("references", [False, True])
@pytest.mark.parametrize(
    ("build", "line"),
    [(log_of_zero, "logs = tf.math.log(scores)"), (root_of_zero, "roots = tf.sqrt(scores)")],
)
def test_the_birth_is_named_also_after_the_update_was_applied(build, line, references):
    run = recorded(build, references=references)
    assert run.findings[0].kind == "nonfinite"
    assert line_of(run.findings[0].site) == line
    step = run.node(run.findings[0].evidence[0]).step
    assert step == 1, "the first training step, though the weights are NaN from the second on"


def test_a_masked_log_is_no_fault_in_forward_and_one_in_backward():
    run = recorded(masked_log, steps=1)
    log = next(node for node in run.nodes if node.op == "Log")
    assert log.outputs[0].finite is False
    assert log.outputs[0].stats.neg_inf == 4
    finding = run.findings[0]
    assert line_of(finding.site) == "logs = tf.math.log(scores)"
    assert run.node(finding.evidence[0]).phase == "backward"


def test_a_gradient_that_is_not_finite_is_a_gradient_event():
    run = recorded(root_of_zero, steps=1)
    gradient = next(one for one in run.gradients if one.name == "weight")
    assert gradient.fact.finite is False
    root = next(node for node in run.nodes if node.op == "SqrtGrad")
    assert run.node(root.forward).op == "Sqrt"


def test_a_batch_folded_by_a_reshape_is_named_where_it_was_folded():
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            images = tf1.placeholder(tf.float32, [None, None, None, 1], name="images")
            labels = tf1.placeholder(tf.int64, [None], name="labels")
            flat = tf.reshape(images, [-1, 784])
            weight = tf1.get_variable("weight", [784, 10])
            logits = tf.matmul(flat, weight)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
            session.run(tf1.global_variables_initializer())
            session.run(loss, {images: np.ones((49, 28, 28, 1)), labels: np.zeros(49)})
            session.run(loss, {images: np.ones((49, 56, 56, 1)), labels: np.zeros(49)})

    with pytest.raises(tf.errors.InvalidArgumentError) as caught, graphdebug.record() as run:
        program()
    assert line_of(run.findings[0].site) == "flat = tf.reshape(images, [-1, 784])"
    assert caught.value.__notes__[0] == run.findings[0].text
    reshape = [node for node in run.nodes if node.op == "Reshape"][-1]
    assert (reshape.attributes["target"], reshape.outputs[0].shape) == ([-1, 784], (196, 784))


def test_a_large_tensor_is_counted_only_where_it_has_to_be():
    values = np.ones((100, 100), "f")
    values[3, 4], values[5, 6], values[7] = np.nan, -np.inf, np.inf
    with graphdebug.record() as run, tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [100, 100])
        result = x * 1.0
        session.run(result, {x: np.ones((100, 100))})
        session.run(result, {x: values})
    first, second = (node.outputs[0] for node in run.nodes if node.op == "Mul")
    assert (first.finite, first.stats) == (True, None)
    assert second.finite is False
    assert (second.stats.nan, second.stats.pos_inf, second.stats.neg_inf) == (1, 100, 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64", "int8", "bool", "string"])
def test_every_dtype_is_recorded_or_said_not_to_be_looked_at(dtype):
    with graphdebug.record(level="stats") as run, tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [2])
        made = tf.strings.as_string(x) if dtype == "string" else tf.cast(x, dtype)
        session.run(tf.reshape(made, [1, 2]), {x: [1.0, 2.0]})
    assert not run.tool_errors
    fact = next(node for node in run.nodes if node.op == "Reshape").outputs[0]
    assert (fact.shape, fact.dtype) == ((1, 2), dtype)
    assert fact.finite is (True if "float" in dtype else None)


def test_break_on_opens_the_debugger_where_the_session_was_run(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("p value * 2\nc\n"))
    value = 21
    with (
        graphdebug.record(break_on="nonfinite", level="shapes") as run,
        tf.Graph().as_default(),
        tf1.Session() as session,
    ):
        x = tf1.placeholder(tf.float32, [1], name="x")
        logs = tf.math.log(x, name="logs")
        session.run(logs, {x: [float(value)]})
        session.run(logs, {x: [0.0]})
    shown = capsys.readouterr().out
    assert "graphdebug: logs (Log, forward) made it, built at test_session_numbers.py:" in shown
    assert "session.run(logs, {x: [0.0]})" in shown
    assert "42" in shown
    assert len(run.steps) == 2
