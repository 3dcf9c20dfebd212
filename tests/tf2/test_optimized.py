"""What runs while recording is what the runtime makes of the function without it: the same optimized nodes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tests.tf2.runtime import optimized_graphs

import graphdebug

LEVELS = pytest.mark.parametrize("level", ["shapes", "health", "stats", "values"])


def _sums(weight):
    @tf.function
    def summed(x):
        one = tf.tanh(x) + tf.reshape(weight, [1, -1]) * tf.sin(x)
        return tf.cos(one + tf.exp(x))

    return summed


def _optimized(work):
    """Return the nodes that the runtime runs for the functions `work` calls: op, and inputs by name."""
    return [
        {node.name: (node.op, [one for one in node.input if not one.startswith("^")])
         for node in nodes
         if not node.name.startswith("graphdebug") and node.op not in ("Const", "NoOp")}
        for nodes in optimized_graphs(work)
        if any(node.op == "Tanh" for node in nodes)
    ]  # fmt: skip


@LEVELS
def test_sums_that_the_optimizer_rewrites_stay_rewritten(level):
    weight, x = tf.Variable([1.0, 2.0, 3.0]), tf.random.normal([4, 3])
    (plain,) = _optimized(lambda: _sums(weight)(x))
    assert any("AddOpsRewrite" in name for name in plain)  # else there is nothing to preserve here
    function = _sums(weight)

    with graphdebug.record(level=level) as run:
        function(x)
        (watched,) = _optimized(lambda: function(x))
    assert {"Tanh", "Sin", "Exp", "Cos"} <= {node.op for node in run.nodes}
    assert watched == plain


def _fit():
    keras.utils.set_random_seed(3)
    keras.backend.clear_session()
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8)(tokens)
    attended = layers.MultiHeadAttention(2, 8)(x, x)
    x = layers.LayerNormalization()(x + attended)
    x = layers.LayerNormalization()(x + layers.Dense(8, activation="relu")(x))
    model = keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    draw = np.random.default_rng(0)
    inputs, labels = draw.integers(0, 20, (18, 6)), draw.integers(0, 3, 18)
    history = model.fit(inputs, labels, batch_size=8, epochs=3, verbose=0, validation_split=0.25)
    return [np.asarray(history.history["loss"]), model.predict(inputs, verbose=0), *model.get_weights()]


def test_a_compiled_fit_with_a_smaller_last_batch_is_bit_identical(tmp_path):
    program = tmp_path / "fits.py"
    program.write_text(FITS.format(root=Path(__file__).parents[2]))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["shapes", "True", "health", "True", "stats", "True", "values", "True"], (
        done.stderr
    )


def test_a_sum_of_many_adds_in_the_order_in_which_it_adds_without_recording():
    draw = np.random.default_rng(0)
    x, y, z = (tf.constant(draw.normal(size=100).astype("float32")) for _ in range(3))

    @tf.function
    def summed(x, y, z):
        for _ in tf.range(2):  # what comes out of a loop is not looked at behind it
            z = tf.sin(z)
        return tf.add_n([tf.sin(x), tf.sin(y), z])

    plain = summed(x, y, z).numpy()
    parts = np.sin(x), np.sin(y), np.sin(np.sin(z))
    assert (parts[0] + parts[1] + parts[2] != parts[2] + parts[1] + parts[0]).any()  # else the order is nothing
    for level in ("shapes", "health", "stats", "values"):
        with graphdebug.record(level=level) as run:
            assert summed(x, y, z).numpy().tobytes() == plain.tobytes(), level
        assert len([one for one in run.nodes if one.op == "Sin" and one.outputs[0].finite]) in (0, 4)


FITS = """
import sys

import tensorflow as tf

tf.config.experimental.enable_op_determinism()  # else sums of gradients of embeddings vary by themselves
sys.path.insert(0, "{root}")
import graphdebug
from tests.tf2.test_optimized import _fit

plain = [one.tobytes() for one in _fit()]
for level in ("shapes", "health", "stats", "values"):
    with graphdebug.record(level=level):
        watched = [one.tobytes() for one in _fit()]
    print(level, watched == plain)
"""
