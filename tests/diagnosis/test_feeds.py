"""In a TF1 program the fed value's line is named, and a helper's weights are told apart by its callers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import graphdebug
from tests.diagnosis.test_repairs import line_marked as _line_marked

tf1 = tf.compat.v1


def line_marked(mark: str) -> int:
    return _line_marked(mark, __file__)


def weight(*shape: int):
    return tf1.get_variable(f"w{len(tf1.global_variables())}", shape)


def conv(x, kernel):
    return tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), 2, 2, "SAME")


def failing_run(feed_by_name: bool) -> graphdebug.Recording:
    with tf.Graph().as_default(), tf1.Session() as session:
        images = tf1.placeholder(tf.float32, [None, None, None, 1])
        features = conv(conv(images, weight(3, 3, 1, 2)), weight(3, 3, 2, 4))
        flat = tf.reshape(features, [tf.shape(features)[0], -1])
        logits = tf.matmul(flat, weight(7 * 7 * 4, 10))  # declared
        with pytest.raises(tf.errors.InvalidArgumentError), graphdebug.record() as run:
            session.run(tf1.global_variables_initializer())
            session.run(logits, {images: np.ones((2, 28, 28, 1))})
            batch = np.ones((2, 100, 100, 1))  # batch
            feed = {images: batch}
            if feed_by_name:
                session.run(logits, feed_dict=feed)
            session.run(logits, feed_dict={images: np.ones((2, 100, 100, 1))})  # inline
    return run


@pytest.mark.parametrize(("by_name", "mark"), [(True, "batch"), (False, "inline")])
def test_the_fed_value_is_named_and_the_call_that_declared_the_layer(by_name, mark):
    finding = failing_run(by_name).findings[0]
    assert finding.site.line == line_marked(mark)
    assert finding.candidates[1].site.line == line_marked("declared")
    assert "pool adaptively to 7x7" in finding.text
    assert "2x100x100x1 -> conv2d 2x100x100x2" in finding.text
