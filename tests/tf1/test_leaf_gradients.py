"""Gradients that tf.gradients built, with no optimizer, are tied to their variables and placeholders."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def recorded_gradients(build):
    with tf.Graph().as_default(), tf1.Session() as session:
        fetches, feed = build()
        session.run(tf1.global_variables_initializer())
        with graphdebug.record(level="values", gradients="all") as run:
            results = session.run(fetches, feed)
    return {one.name: one for one in run.gradients if one.name}, results, run


def test_variables_and_placeholders_have_the_gradients_that_were_fetched():
    def build():
        x = tf1.placeholder(tf.float32, [2, 3], name="x")
        w = tf1.get_variable("w", initializer=np.arange(6, dtype=np.float32).reshape(3, 2))
        b = tf1.get_variable("b", initializer=np.ones(2, np.float32))
        loss = tf.reduce_sum(tf.square(tf.matmul(x, w) + b))
        return tf.gradients(loss, [x, w, b]), {x: np.ones((2, 3))}

    gradients, results, run = recorded_gradients(build)
    assert set(gradients) == {"x:0", "w", "b"}
    for name, value in zip(("x:0", "w", "b"), results, strict=True):
        np.testing.assert_allclose(gradients[name].fact.values, value.ravel())
    assert run.node(gradients["w"].node).function in ("matmul", "linear")


def test_a_leaf_that_is_used_twice_has_the_sum_of_both_gradients():
    def build():
        w = tf1.get_variable("w", initializer=np.full(3, 2.0, np.float32))
        loss = tf.reduce_sum(w * 3.0) + tf.reduce_sum(tf.square(w))
        return tf.gradients(loss, [w]), {}

    gradients, results, _ = recorded_gradients(build)
    assert gradients["w"].fact.values == tuple(results[0]) == (7.0, 7.0, 7.0)
