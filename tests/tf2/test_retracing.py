"""Retracing: the notice names the argument, or the part of it, that caused a new trace."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug


def told(run):
    return [one.text for one in run.notices if one.topic == "retrace"]


def f(x, flag=True, *, options=None):
    return x


ONES = tf.ones([3])
CALLS = {
    "shape": ([(tf.ones([2, 3]),), (tf.ones([4, 3]),)], "x was float32 2x3, now float32 4x3"),
    "rank": ([(tf.ones([2]),), (tf.ones([2, 1]),)], "x was float32 2, now float32 2x1"),
    "dtype": ([(ONES,), (tf.ones([3], tf.float64),)], "x was float32 3, now float64 3"),
    "Python value": ([(ONES, True), (ONES, False)], "flag was True, now False"),
    "Python number": ([(1.0,), (2.0,)], "x was 1.0, now 2.0"),
    "number for a tensor": ([(ONES,), (2,)], "x was float32 3, now 2"),
    "element of a list": ([([ONES, 1],), ([ONES, 2],)], "x[1] was 1, now 2"),
    "length of a list": ([([ONES],), ([ONES, ONES],)], "x was [float32 3], now [float32 3, float32 3]"),
    "value in a dict": ([({"a": 1, "b": ONES},), ({"a": 2, "b": ONES},)], "x['a'] was 1, now 2"),
    "keys of a dict": ([({"a": 1},), ({"b": 1},)], "x was {'a': 1}, now {'b': 1}"),
    "nested": ([({"a": (ONES, 1)},), ({"a": (tf.ones([4]), 1)},)], "x['a'][0] was float32 3, now float32 4"),
    "two at once": (
        [(ONES, True), (tf.ones([5]), False)],
        "x was float32 3, now float32 5; flag was True, now False",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_what_was_different_is_named(case):
    calls, expected = CALLS[case]
    function = tf.function(f)
    with graphdebug.record() as run:
        for arguments in (*calls, calls[-1]):
            function(*arguments)
    assert told(run) == [f"f is traced again (2 traces): {expected}"]
    (notice,) = [one for one in run.notices if one.topic == "retrace"]
    assert notice.site.file == __file__


def test_a_function_traced_before_the_block_is_compared_with_its_last_trace():
    function = tf.function(f)
    function(tf.ones([2]))
    with graphdebug.record() as run:
        function(tf.ones([2]))
        function(tf.ones([3]), options={"a": 1})
    assert told(run) == [
        "f is traced again (2 traces): x was float32 2, now float32 3; options was None, now {'a': 1}"
    ]


def test_a_smaller_last_batch_of_a_model_of_keras_is_named():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    net.compile("sgd", "mse")
    with graphdebug.record() as run:
        for rows in (4, 4, 2):
            net.train_on_batch(np.ones((rows, 3), "float32"), np.ones((rows, 1), "float32"))
    assert [text.partition(": ")[2] for text in told(run)] == [
        "data[0] was float32 4x3, now float32 ?x3; data[1] was float32 4x1, now float32 ?x1"
    ]


def test_the_smaller_last_batch_of_a_fit_is_no_trace_more():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    net.compile("sgd", "mse")
    with graphdebug.record() as run:
        net.fit(np.ones((10, 3)), np.ones((10, 1)), batch_size=4, epochs=2, verbose=0)
    assert told(run) == []  # Keras leaves the batch open


def test_a_function_that_is_made_again_and_again_is_told_once():
    def double(x):
        return x * 2.0

    with graphdebug.record() as run:
        for _ in range(7):
            tf.function(double)(ONES)
    (text,) = told(run)
    assert text == (
        "double has been made into 5 functions, each traced anew: make it once, outside of the loop or the "
        "function that calls it"
    )


class Layer(tf.Module):
    @tf.function
    def __call__(self, x):
        return x * 2.0


def test_a_few_functions_of_the_same_code_are_no_notice():
    with graphdebug.record() as run:
        for layer in [Layer() for _ in range(3)]:
            layer(ONES)
    assert told(run) == []
