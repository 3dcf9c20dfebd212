"""One suite that uses TensorFlow and, imported late inside a test, torch. Runs in a process of its own."""

from __future__ import annotations

SUITE = """
import keras
import pytest
import tensorflow as tf

def product():
    return tf.matmul(tf.ones((2, 3)), tf.ones((2, 3)))

def test_eager():
    product()

def test_function():
    tf.function(lambda x: tf.matmul(x, x))(tf.ones((2, 3)))

def test_session():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, None))
        y = tf.matmul(x, tf.ones((2, 3)))
        session.run(y, {x: [[1.0, 2.0, 3.0]]})

def test_not_finite():
    y = tf.math.log(tf.constant([1.0, 0.0]))
    assert bool(tf.reduce_all(tf.math.is_finite(y)))

def test_keras(graphdebug):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(2)])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.ones((5, 3))))
    tape.gradient(loss, model.trainable_variables)
    graphdebug.assert_shapes({"first": (5, 4)})
    graphdebug.assert_gradients_flow(model)
    graphdebug.assert_finite()
    with graphdebug.raises("shape_mismatch", at="test_tf.py:6"):
        product()

def test_late():
    import torch
    torch.ones(2, 3) @ torch.ones(2, 3)

def test_passes():
    assert tf.reduce_sum(tf.ones((2, 3))) == 6
"""


def test_each_framework_is_explained_and_what_passes_still_passes(pytester):
    pytester.makepyfile(test_tf=SUITE.lstrip())
    result = pytester.runpytest_subprocess(
        "--graphdebug", "--tb=line", "-p", "no:randomly", "-W", "error::graphdebug.errors.GraphDebugWarning"
    )
    result.assert_outcomes(failed=5, passed=2)
    result.stdout.fnmatch_lines(
        [
            "graphdebug: shape mismatch in matmul, at test_tf.py:6 (forward, step 0)",
            "log: .graphdebug/test_tf.py.test_eager.jsonl",
            "graphdebug: shape mismatch in matmul, at test_tf.py:12 (forward, step 0)",
            "log: .graphdebug/test_tf.py.test_function.jsonl",
            "graphdebug: shape mismatch in matmul, at test_tf.py:17 (forward, step 0)",
            "log: .graphdebug/test_tf.py.test_session.jsonl",
            "graphdebug: log is not finite, born at test_tf.py:21, shows at test_tf.py:22 (forward, step 0)",
            "log: .graphdebug/test_tf.py.test_not_finite.jsonl",
            "graphdebug: shape mismatch in matmul, at test_tf.py:37 (forward, step 0)",
            "log: .graphdebug/test_tf.py.test_late.jsonl",
        ]
    )
    names = ["eager", "function", "late", "not_finite", "session"]
    logs = sorted(path.name for path in (pytester.path / ".graphdebug").iterdir())
    assert logs == [f"test_tf.py.test_{name}.jsonl" for name in names]
