"""All that a function runs is looked at, in what the runtime has made of it, and nothing else runs for that."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import graphdebug
from graphdebug.backends.tensorflow.two.ops import ALIASES
from graphdebug.model.event import Notice


def _fit(model, loss, inputs, targets):
    model.compile("adam", loss, jit_compile=False)
    history = model.fit(inputs, targets, batch_size=4, epochs=4, verbose=0)  # 20 steps
    return [np.asarray(history.history["loss"]), *model.get_weights()]


def _convolutions():
    model = keras.Sequential([
        keras.Input((10, 10, 1)), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(),
        layers.MaxPooling2D(), layers.DepthwiseConv2D(3, activation="relu"), layers.Flatten(),
        layers.Dropout(0.2), layers.Dense(3),
    ])  # fmt: skip
    draw = np.random.default_rng(0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _fit(model, loss, draw.normal(size=(20, 10, 10, 1)).astype("float32"), draw.integers(0, 3, 20))


def _recurrent():
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4, return_sequences=True), layers.GRU(2)])
    draw = np.random.default_rng(0)
    return _fit(model, "mse", draw.normal(size=(20, 5, 3)), draw.normal(size=(20, 2)))


def _attention():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8)(tokens)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(8, activation="gelu")(x))
    model = keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    draw = np.random.default_rng(0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return _fit(model, loss, draw.integers(0, 20, (20, 6)), draw.integers(0, 3, 20))


def _constants():
    draw = np.random.default_rng(0)
    x, y, first, second = (
        draw.normal(size=size).astype("float32") for size in ((16, 8), (16, 2), (8, 6), (6, 2))
    )
    data, target, weights = tf.constant(x), tf.constant(y), [tf.Variable(first), tf.Variable(second)]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            scaled = (data - tf.reduce_mean(data, 0)) / tf.math.reduce_std(data, 0)
            hidden = tf.nn.relu(scaled @ weights[0])
            error = hidden / (1.0 + tf.reduce_mean(hidden)) @ weights[1] - target
            loss = tf.reduce_mean(tf.square(error)) + sum(1e-3 * tf.nn.l2_loss(one) for one in weights)
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign_sub(0.05 * gradient)
        return loss

    return [np.stack([step().numpy() for _ in range(20)]), *(weight.numpy() for weight in weights)]


def train(name):
    keras.utils.set_random_seed(3)
    keras.backend.clear_session()
    return {"conv": _convolutions, "lstm": _recurrent, "attention": _attention, "constants": _constants}[name]()


def unlooked(run):
    """Return the ops that ran in functions with a float output that nobody has looked at."""
    held = ALIASES | {"While", "If", "StatelessWhile", "StatelessIf"}
    return {
        node.op for node in run.nodes for fact in node.outputs
        if node.mode == "function" and node.execution == "executed" and node.op not in held
        and fact.dtype.startswith("float") and fact.finite is None
    }  # fmt: skip


@pytest.mark.parametrize("name", ["conv", "lstm", "attention", "constants"])
def test_twenty_steps_are_bit_identical_and_every_op_that_runs_is_looked_at(name, tmp_path):
    program = tmp_path / "trains.py"
    program.write_text(PROGRAM.format(tests=Path(__file__).parent))
    done = subprocess.run([sys.executable, program, name], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["health True set() True", "stats True set() True"], done.stderr


PROGRAM = """
import sys

import tensorflow as tf

tf.config.experimental.enable_op_determinism()  # else sums of gradients of embeddings vary by themselves
sys.path.insert(0, "{tests}")
import graphdebug
from test_looked_at import train, unlooked

plain = [one.tobytes() for one in train(sys.argv[1])]
for level in ("health", "stats"):
    with graphdebug.record(level=level) as run:
        watched = [one.tobytes() for one in train(sys.argv[1])]
    print(level, watched == plain, unlooked(run), not run.tool_errors)
"""


@tf.function
def _nested(x, kind):
    x = tf.switch_case(kind, [lambda: tf.sin(x), lambda: tf.cos(x), lambda: x])
    for i in tf.range(3):
        for _ in tf.range(i):
            if tf.reduce_sum(x) > 2.0:  # noqa: SIM108 -- a branch, not a choice of values
                x = tf.tanh(x)
            else:
                x = tf.exp(x)
        x = x * 1.5
    return x


@pytest.mark.parametrize("level", ["health", "stats", "values"])
@pytest.mark.parametrize(("kind", "only"), [(0, "Sin"), (1, "Cos"), (2, None)])
def test_each_round_of_nested_loops_and_only_the_branch_taken_are_looked_at(level, kind, only):
    x = tf.constant([0.1, 0.7, 0.4])
    plain = _nested(x, tf.constant(kind))
    with graphdebug.record(level=level) as run:
        watched = _nested(x, tf.constant(kind))
    assert watched.numpy().tobytes() == plain.numpy().tobytes()
    assert run.tool_errors == []
    assert unlooked(run) == set()
    eager, taken = (x if only is None else getattr(tf, only.lower())(x)), [only] if only else []
    for i in range(3):
        for _ in range(i):
            taken.append("Tanh" if float(tf.reduce_sum(eager)) > 2.0 else "Exp")
            eager = tf.tanh(eager) if taken[-1] == "Tanh" else tf.exp(eager)
        eager = eager * 1.5
    assert [node.op for node in run.nodes if node.op in ("Sin", "Cos", "Tanh", "Exp")] == taken


def test_what_a_fusion_ends_with_is_looked_at():
    function = tf.function(lambda x, y: tf.sin(tf.math.log(x)) + y + tf.cos(y))
    with graphdebug.record() as run:
        function(tf.constant([-1.0, 2.0]), tf.ones(2))
    nodes = {node.op: node for node in run.nodes}
    assert [nodes[op].execution for op in ("Log", "Sin", "AddV2", "Cos")] == ["fused"] * 3 + ["executed"]
    assert nodes["Log"].outputs[0].finite is None  # its value is never in memory
    assert [nodes[op].outputs[0].stats.nan for op in ("Sin", "AddV2")] == [1, 1]


def test_a_function_is_asked_what_it_runs_without_running_it():
    counter = tf.Variable(0)
    calls = []

    @tf.function
    def step(x):
        counter.assign_add(1)
        tf.py_function(lambda: calls.append(1), [], [])
        return tf.sin(x)

    with graphdebug.record():
        step(tf.ones(3))
    assert (counter.numpy(), calls) == (1, [1])


def test_while_graphs_are_collected_for_a_summary_functions_are_not_looked_into(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    function = tf.function(tf.sin)
    tf.summary.trace_on(graph=True)
    with graphdebug.record() as run:
        function(tf.ones(3))
    with writer.as_default():
        tf.summary.trace_export("graph", step=0)
    (notice,) = run.store.of_kind(Notice)
    assert "tf.summary.trace_on is collecting graphs" in notice.text
    assert [node.execution for node in run.nodes if node.op == "Sin"] == ["inferred"]


def test_a_product_that_runs_of_other_numbers_is_not_taken_for_what_it_was():
    """``(g * 2) * x`` runs as ``(x * 2) * g``: what bears the name of the first is finite, and another one."""
    w, x = tf.Variable([1.0, 2.0]), tf.constant([[0.0, 0.0], [1.0, 2.0]])

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.sqrt(tf.reduce_sum((x * w) ** 2, 1)))
        return tape.gradient(loss, w)

    with graphdebug.record() as run:
        gradient(x)
    grown = [node for node in run.nodes if node.function == "pow_backward" and node.outputs[0].finite is True]
    assert not grown
    assert "gradient of sqrt is not finite" in run.findings[0].text


def test_a_function_of_which_an_argument_is_not_used_is_looked_into():
    w = tf.Variable([[1.0, 2.0], [3.0, 4.0]])

    @tf.function
    def distance(a, b):
        return tf.sqrt(tf.reduce_sum((a - b) ** 2, axis=1))

    with graphdebug.record() as run, tf.GradientTape() as tape:
        loss = tf.reduce_mean(distance(tf.ones([3, 2]) @ w, tf.zeros([3, 2]) @ w))
        tape.gradient(loss, w)
    assert not [one for one in run.notices if one.topic == "blind"]


def test_functions_that_are_set_up_at_the_same_time_are_not_mixed_up():
    function = tf.function(lambda x: tf.reduce_sum(tf.exp(x)) * 2.0)
    sizes, found = range(1, 9), {}

    def work(size):
        found[size] = function(tf.fill([size], 0.5)).numpy()

    threads = [threading.Thread(target=work, args=(size,)) for size in sizes]
    with graphdebug.record() as run:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {size: function(tf.fill([size], 0.5)).numpy() for size in sizes}
    assert [node.execution for node in run.nodes if node.op == "Exp"] == ["executed"] * len(sizes)
    assert not [one for one in run.notices if one.topic == "blind"]


def test_functions_with_nodes_of_the_same_name_run_one_after_another():
    w = tf.Variable([[0.1, 0.2], [0.3, 0.4]])

    def jacobian(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.tanh(x @ w)
        return tape.batch_jacobian(y, x)

    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    plain = tf.function(jacobian)(x)
    with graphdebug.record(level="stats") as run:
        for _ in range(2):
            assert tf.function(jacobian)(x).numpy().tobytes() == plain.numpy().tobytes()
    assert [node.execution for node in run.nodes if node.op == "Tanh"] == ["executed"] * 2
