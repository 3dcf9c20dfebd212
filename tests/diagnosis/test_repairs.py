"""A padding whose change makes everything behind it fit is the culprit; one left to its default is not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def line_marked(mark: str, file_name: str = __file__) -> int:
    with open(file_name) as file:
        return next(number for number, line in enumerate(file, 1) if line.rstrip().endswith(f"# {mark}"))


def run_network(padding: str, reshaped: int) -> graphdebug.Recording:
    with tf.Graph().as_default(), tf1.Session() as session:
        images = tf1.placeholder(tf.float32, [None, 28, 28, 1])
        kernel = tf1.get_variable("kernel", [5, 5, 1, 4])
        if padding == "VALID":
            convolved = tf.nn.conv2d(images, kernel, 1, padding="VALID")  # chosen
        else:
            convolved = tf.nn.conv2d(images, kernel, 1, padding=padding)
        pooled = tf.nn.max_pool2d(tf.nn.relu(convolved), 2, 2, "SAME")
        flat = tf.reshape(pooled, [-1, reshaped])  # reshape
        with pytest.raises(tf.errors.InvalidArgumentError), graphdebug.record() as run:
            session.run(kernel.initializer)
            session.run(flat, {images: np.ones((10, 28, 28, 1))})
    return run


def test_the_padding_is_named_where_the_other_one_would_fit():
    finding = run_network("VALID", 14 * 14 * 4).findings[0]
    assert finding.site.line == line_marked("chosen")
    assert finding.candidates[0].why == "with padding same here, everything behind it fits"
    assert line_marked("reshape") in [one.site.line for one in finding.candidates]


def test_the_size_that_was_asked_for_is_named_where_no_padding_would_fit():
    finding = run_network("VALID", 13 * 13 * 4).findings[0]  # asked
    assert [one.site.line for one in finding.candidates] == [line_marked("asked"), line_marked("reshape")]
    assert not any("padding" in one.why for one in finding.candidates)


def test_an_initializer_made_before_the_variable_is_named():
    with tf.Graph().as_default(), tf1.Session() as session:
        early = tf1.global_variables_initializer()  # early
        weight = tf1.get_variable("w", [3])
        with pytest.raises(tf.errors.FailedPreconditionError), graphdebug.record() as run:
            session.run(early)
            session.run(weight * 2.0)
    finding = run.findings[0]
    assert (finding.kind, finding.site.line) == ("uninitialized", line_marked("early"))
