"""Right programs for sessions that look much like those of tf1_origins: none may be accused."""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def _matrix(rows, columns, name):
    return v1.get_variable(name, [rows, columns], initializer=v1.glorot_uniform_initializer(seed=1))


def _labels(count, classes):
    return np.eye(classes, dtype=np.float32)[np.arange(count) % classes]


class _Dropping:
    """A network whose evaluation feeds a placeholder what drops nothing."""

    KEEP_ALL = 1.0

    def __init__(self, keep=None, rate=None):
        self.x, self.y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
        self.amount = v1.placeholder(tf.float32)
        hidden = tf.nn.relu(tf.matmul(self.x, _matrix(6, 16, "one")))
        hidden = v1.nn.dropout(hidden, **{keep or rate: self.amount})
        scores = tf.matmul(hidden, _matrix(16, 3, "two"))
        self.loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=self.y, logits=scores))
        self.step = v1.train.AdamOptimizer(0.01).minimize(self.loss)
        right = tf.equal(tf.argmax(scores, 1), tf.argmax(self.y, 1))
        self.accuracy = tf.reduce_mean(tf.cast(right, tf.float32))

    def feeds(self, count, amount):
        rows = np.random.RandomState(count).rand(count, 6)
        return {self.x: rows, self.y: _labels(count, 3), self.amount: amount}

    def train(self, session, amount):
        session.run(v1.global_variables_initializer())
        for _ in range(12):
            session.run([self.step, self.loss], self.feeds(8, amount))


def keep_all_is_fed_by_name():
    with tf.Graph().as_default(), v1.Session() as session:
        net = _Dropping(keep="keep_prob")
        net.train(session, 0.5)
        session.run(net.accuracy, net.feeds(20, _Dropping.KEEP_ALL))


def rate_of_nothing_is_fed():
    with tf.Graph().as_default(), v1.Session() as session:
        net = _Dropping(rate="rate")
        net.train(session, 0.5)
        session.run(net.accuracy, feed_dict=net.feeds(20, amount=0.0))


def keep_prob_of_a_dict_of_modes():
    keep = {"train": 0.5, "test": 1.0}
    with tf.Graph().as_default(), v1.Session() as session:
        net = _Dropping(keep="keep_prob")
        net.train(session, keep["train"])
        feeds = {net.x: np.ones([20, 6]), net.y: _labels(20, 3), net.amount: keep["test"]}
        session.run(net.accuracy, feed_dict=feeds)


def each_fold_begins_anew():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
        scores = tf.matmul(x, _matrix(6, 3, "w"))
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=scores))
        step = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        begin = v1.global_variables_initializer()
        for fold in range(4):
            session.run(begin)
            rows = np.random.RandomState(fold).rand(40, 6)
            for at in range(0, 32, 8):
                session.run(step, {x: rows[at : at + 8], y: _labels(8, 3)})
            session.run(loss, {x: rows[32:], y: _labels(8, 3)})


def one_layer_that_begins_at_zero():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
        scores = tf.matmul(x, tf.Variable(tf.zeros([6, 3]))) + tf.Variable(tf.zeros([3]))
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=scores))
        step = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(8):
            session.run([step, loss], {x: np.random.RandomState(0).rand(8, 6), y: _labels(8, 3)})


def learning_that_is_slow_at_first():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6])
        scores = tf.matmul(x, _matrix(6, 1, "w"))
        loss = tf.reduce_mean(tf.square(scores - 1000.0))
        step = v1.train.GradientDescentOptimizer(1e-9).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(12):
            session.run([step, loss], {x: np.ones([8, 6])})
