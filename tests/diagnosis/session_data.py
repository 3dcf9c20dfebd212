"""Sessions that are given wrong data, or restore too little, in the forms of real programs: ``# <- fault``."""

import os
import tempfile

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def _linear(width):
    x = v1.placeholder(tf.float32, [None, width])
    y = v1.placeholder(tf.float32, [None, 1])
    w = v1.get_variable("w", [width, 1])
    return x, y, tf.reduce_mean((tf.matmul(x, w) - y) ** 2)


def column_lost_by_a_helper_that_splits():
    def split(table):
        rows = table[:, :-2]  # <- fault: one column too many goes
        return rows, table[:, -1:]

    with tf.Graph().as_default(), v1.Session() as session:
        rows, labels = split(np.ones([20, 6], "float32"))
        x, y, loss = _linear(5)
        session.run(v1.global_variables_initializer())
        for start in range(0, 20, 10):
            session.run(loss, feed_dict={x: rows[start : start + 10], y: labels[start : start + 10]})


def axis_summed_away_before_a_method_feeds_it():
    class Model:
        def __init__(self):
            self.x, self.y, self.loss = _linear(3)

        def feeds(self, rows, labels):
            return {self.x: rows, self.y: labels}

    with tf.Graph().as_default(), v1.Session() as session:
        rows = np.ones([8, 3], "float32")
        labels = rows.sum(axis=1)  # <- fault: a column is due
        model = Model()
        session.run(v1.global_variables_initializer())
        session.run(model.loss, model.feeds(rows, labels))


def axes_swapped_before_a_generator_cuts_batches():
    def batches(rows, size):
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    with tf.Graph().as_default(), v1.Session() as session:
        rows = np.ones([4, 8, 3], "float32")
        rows = np.swapaxes(rows, 0, 1)  # <- fault: the batch is first
        x = v1.placeholder(tf.float32, [2, 8, 3])
        out = tf.reduce_mean(x)
        for batch in batches(rows, 2):
            session.run(out, {x: batch})


def labels_that_an_object_yields_turned():
    class Batches:
        def __init__(self):
            self.rows = np.ones([8, 5], "float32")
            self.labels = np.zeros([3, 8], "float32")  # <- fault: classes by samples

        def __iter__(self):
            for start in (0, 4):
                yield {"rows": self.rows[start : start + 4], "labels": self.labels[:, start : start + 4]}

    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 5]), v1.placeholder(tf.float32, [None, 3])
        logits = tf.matmul(x, v1.get_variable("w", [5, 3]))
        loss = tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits)
        session.run(v1.global_variables_initializer())
        for batch in Batches():
            session.run(loss, feed_dict={x: batch["rows"], y: batch["labels"]})


def saver_made_before_the_last_layer():
    def build():
        x = v1.placeholder(tf.float32, [None, 4])
        hidden = tf.matmul(x, v1.get_variable("hidden", [4, 3]))
        saver = v1.train.Saver()  # <- fault: the head is not made yet
        return x, tf.matmul(hidden, v1.get_variable("head", [3, 1])), saver

    path = os.path.join(tempfile.mkdtemp(), "model")
    for again in (False, True):
        with tf.Graph().as_default(), v1.Session() as session:
            x, out, saver = build()
            if again:
                saver.restore(session, path)
                session.run(out, {x: np.ones([1, 4])})
            else:
                session.run(v1.global_variables_initializer())
                saver.save(session, path)


def constant_of_a_weight_that_a_reshape_reads():
    with tf.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.float32, [None, 16, 16, 1])
        weights = {
            "conv": tf.Variable(tf.ones([3, 3, 1, 2])),
            "dense": tf.Variable(tf.ones([5 * 5 * 2, 3])),  # <- fault: 8 by 8 are left
        }
        h = tf.nn.max_pool2d(tf.nn.conv2d(image, weights["conv"], 1, "SAME"), 2, 2, "SAME")
        flat = tf.reshape(h, [-1, weights["dense"].get_shape().as_list()[0]])
        session.run(v1.global_variables_initializer())
        session.run(tf.matmul(flat, weights["dense"]), {image: np.ones([2, 16, 16, 1])})


def lookup_along_the_axis_before():
    with tf.Graph().as_default(), v1.Session() as session:
        scores, places = v1.placeholder(tf.float32, [None, 3, 20]), v1.placeholder(tf.int32, [2])
        picked = tf.gather(scores, places, axis=1)  # <- fault: the places are of axis 2
        session.run(picked, {scores: np.ones([2, 3, 20]), places: [4, 15]})


def decoder_whose_line_does_not_pad():
    with tf.Graph().as_default(), v1.Session():
        image = v1.placeholder(tf.float32, [None, 8, 8, 1])
        h = tf.nn.max_pool2d(image, 2, 2, "SAME")
        for side in (4, 8):
            h = tf.image.resize(h, (side, side), method="nearest")
            kernel = tf.Variable(tf.ones([3, 3, 1, 1]))
            h = tf.nn.conv2d(h, kernel, 1, padding="VALID")  # <- fault: what it loses is missing at the end
        tf.reduce_mean(tf.square(h - image))
