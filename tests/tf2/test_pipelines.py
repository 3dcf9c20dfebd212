"""tf.data runs functions out of sight: what fails or turns NaN in one is still told by its line."""

from __future__ import annotations

import linecache

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug


def line_of(site):
    return linecache.getline(site.file, site.line).strip()


def batches(function, values=(1.0, 0.0, 4.0, 9.0)):
    return tf.data.Dataset.from_tensor_slices(np.array(values, "f")).map(function).batch(2).prefetch(1)


def logs(x):
    scaled = x * 2.0
    return tf.math.log(scaled)


def wrong(x):
    width = tf.cast(x, tf.int32) + 5
    row = tf.stack([x, x])
    return tf.reshape(row, [width, 2])


def flat(x):
    return tf.reshape(x, [-1])[0]


def read(x):
    row = np.asarray(x)
    return row.reshape(7)


def checked(x):
    tf.debugging.assert_positive(x, message="pixels must be positive")
    return x


def rows():
    yield [1.0, 2.0]
    raise KeyError("image_7.png")


def consume(dataset):
    for batch in dataset:
        tf.reduce_sum(batch)


def fit(dataset, eagerly):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=eagerly)
    model.fit(dataset.map(lambda x: (tf.expand_dims(x, 1), tf.expand_dims(x, 1))), verbose=0)


CONSUMERS = pytest.mark.parametrize(
    "consumer",
    [consume, lambda dataset: fit(dataset, eagerly=False), lambda dataset: fit(dataset, eagerly=True)],
    ids=["loop", "fit", "fit eagerly"],
)


def failed(work):
    with pytest.raises(Exception) as caught, graphdebug.record() as run:  # noqa: PT011 -- any kind
        work()
    assert run.tool_errors == []
    (failure,) = run.failures
    assert caught.value.__notes__[0].startswith("graphdebug: ")
    return run, failure


@CONSUMERS
def test_a_failing_op_of_a_map_function_has_its_line_and_what_led_to_it(consumer):
    run, failure = failed(lambda: consumer(batches(wrong)))
    assert (failure.category, failure.op, failure.mode) == ("shape", "Reshape", "function")
    assert line_of(failure.site) == "return tf.reshape(row, [width, 2])"
    assert line_of(run.producer(failure.operands[0]).site) == "row = tf.stack([x, x])"


@CONSUMERS
def test_a_nan_of_a_map_function_is_named_at_its_likeliest_line(consumer):
    with graphdebug.record() as run:
        consumer(batches(logs))
    assert run.tool_errors == []
    assert run.findings[0].kind == "nonfinite"
    assert line_of(run.findings[0].site) == "return tf.math.log(scaled)"
    notice = next(one for one in run.notices if one.topic == "blind")
    assert "tf.data runs logs (test_pipelines.py:" in notice.text
    assert "out of sight" in notice.text


def test_of_two_map_functions_with_the_same_op_the_failing_one_is_named():
    _, failure = failed(lambda: consume(tf.data.Dataset.range(3).map(flat).map(wrong)))
    assert line_of(failure.site) == "return tf.reshape(row, [width, 2])"


def test_where_two_functions_have_the_op_and_tensorflow_does_not_say_which_none_is_accused():
    run, failure = failed(lambda: consume(batches(wrong).map(flat)))
    assert line_of(failure.site) == "for batch in dataset:"
    notice = next(one for one in run.notices if one.topic == "blind")
    assert "wrong (test_pipelines.py:" in notice.text
    assert "flat (test_pipelines.py:" in notice.text


def test_an_iterator_made_before_the_block_is_read_when_it_fails():
    iterator = iter(batches(wrong))
    _, failure = failed(lambda: next(iterator))
    assert line_of(failure.site) == "return tf.reshape(row, [width, 2])"


def test_an_assertion_in_a_map_function_is_told_by_its_own_words():
    _, failure = failed(lambda: consume(batches(checked)))
    assert failure.category == "assertion"
    assert line_of(failure.site).startswith("tf.debugging.assert_positive(x")
    assert "pixels must be positive" in failure.message


@pytest.mark.parametrize(
    ("dataset", "line", "message"),
    [
        (lambda: batches(lambda x: tf.py_function(read, [x], tf.float32)), "return row.reshape(7)", "(7,)"),
        (lambda: batches(lambda x: tf.numpy_function(read, [x], tf.float32)), "return row.reshape(7)", "(7,)"),
        (
            lambda: tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec([2])),
            'raise KeyError("image_7.png")', "KeyError: 'image_7.png'",
        ),
    ],
    ids=["py_function", "numpy_function", "generator"],
)  # fmt: skip
def test_python_that_tf_data_calls_is_named_by_its_own_line(dataset, line, message):
    run, failure = failed(lambda: consume(dataset()))
    assert line_of(failure.site) == line
    assert message in failure.message
    assert "Traceback" not in failure.message
    assert line_of(run.findings[0].site) == line


def test_finite_pipelines_are_not_accused_and_unharmed():
    plain = [batch.numpy().tobytes() for batch in batches(logs, [1.0, 2.0, 3.0])]
    with graphdebug.record() as run:
        recorded = [batch.numpy().tobytes() for batch in batches(logs, [1.0, 2.0, 3.0])]
    assert plain == recorded
    assert run.findings == ()
