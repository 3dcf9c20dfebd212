"""Right sessions in the forms of those in session_data.py: none is to be accused."""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def nothing_dropped_where_it_is_judged():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.int64, [None])
        keep = v1.placeholder(tf.float32)
        hidden = v1.nn.dropout(tf.matmul(x, v1.get_variable("a", [6, 8])), keep_prob=keep)
        logits = tf.matmul(hidden, v1.get_variable("b", [8, 3]))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        train = v1.train.GradientDescentOptimizer(0.01).minimize(loss)
        accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), y), tf.float32))
        session.run(v1.global_variables_initializer())
        draw = np.random.default_rng(0)

        def judge(count):
            rows = draw.normal(size=(count, 6))
            return session.run(accuracy, feed_dict={x: rows, y: np.arange(count) % 3, keep: 1.0})

        for _ in range(6):
            session.run(train, feed_dict={x: draw.normal(size=(9, 6)), y: np.arange(9) % 3, keep: 0.5})
            judge(30)


def batches_of_an_object():
    class Batches:
        def __init__(self):
            self.rows, self.labels = np.ones([3, 8], "float32"), np.ones([8, 1], "float32")

        def __iter__(self):
            for start in (0, 4):
                yield {"rows": self.rows[:, start : start + 4].T, "labels": self.labels[start : start + 4]}

    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 3]), v1.placeholder(tf.float32, [None, 1])
        loss = tf.reduce_mean((tf.matmul(x, v1.get_variable("w", [3, 1])) - y) ** 2)
        train = v1.train.GradientDescentOptimizer(0.01).minimize(loss)
        session.run(v1.global_variables_initializer())
        for batch in Batches():
            session.run([train, loss], feed_dict={x: batch["rows"], y: batch["labels"]})
