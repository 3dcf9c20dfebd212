"""Right programs for sessions that look much like those of tf1_everyday: none may be accused."""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def _weights(name, shape):
    return v1.get_variable(name, shape, initializer=v1.random_normal_initializer(stddev=0.1))


def _train(session, loss, feeds, steps=5):
    step = v1.train.GradientDescentOptimizer(0.01).minimize(loss)
    session.run(v1.global_variables_initializer())
    for _ in range(steps):
        session.run([step, loss], feeds())


def write_inside_of_its_branch():
    with tf.Graph().as_default(), v1.Session() as session:
        v1.disable_control_flow_v2()
        x, training = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.bool)
        mean = v1.get_variable("mean", [4], initializer=v1.zeros_initializer(), use_resource=False)

        def update():
            return v1.assign(mean, 0.9 * mean + 0.1 * tf.reduce_mean(x, 0))

        centre = v1.cond(training, update, lambda: tf.identity(mean))
        v1.enable_control_flow_v2()
        out = x - centre
        session.run(v1.global_variables_initializer())
        for flag in (True, False):
            session.run(out, {x: np.ones([3, 4]), training: flag})


def state_that_begins_at_zero_is_fed():
    with tf.Graph().as_default(), v1.Session() as session:
        x, begin = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 8])
        y = v1.placeholder(tf.float32, [None, 1])
        state = tf.tanh(tf.matmul(x, _weights("w", [4, 8])) + tf.matmul(begin, _weights("u", [8, 8])))
        loss = tf.reduce_mean(tf.square(tf.matmul(state, _weights("o", [8, 1])) - y))
        rows = np.random.default_rng(0).random([6, 4])
        _train(session, loss, lambda: {x: rows, begin: np.zeros([6, 8]), y: rows[:, :1]})


def relu_for_labels_that_are_never_negative():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 1])
        out = tf.nn.relu(tf.matmul(x, _weights("w", [4, 1])) + 1.0)
        loss = tf.reduce_mean(tf.square(out - y))
        rows = np.random.default_rng(0).random([6, 4])
        _train(session, loss, lambda: {x: rows, y: rows[:, :1] * 9})


def relu_with_labels_that_are_marked_missing():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 1])
        out = tf.nn.relu(tf.matmul(x, _weights("w", [4, 1])) + 1.0)
        known = tf.cast(y >= 0, tf.float32)
        loss = tf.reduce_sum(known * tf.square(out - y)) / tf.reduce_sum(known)
        rows = np.random.default_rng(0).random([6, 4])
        labels = rows[:, :1] * 9
        labels[2] = -1
        _train(session, loss, lambda: {x: rows, y: labels})


def logits_for_a_loss_on_logits():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 1])
        gate = tf.sigmoid(tf.matmul(x, _weights("g", [4, 4])))
        logits = tf.matmul(gate * x, _weights("w", [4, 1]))
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits))
        rows = np.random.default_rng(0).random([6, 4])
        _train(session, loss, lambda: {x: rows, y: (rows[:, :1] > 0.5) * 1.0})


def embeddings_of_steps_that_are_not_the_batch():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 7, 5]), v1.placeholder(tf.int32, [None])
        scores = tf.squeeze(tf.tensordot(tf.tanh(x), _weights("v", [5, 1]), 1), -1)
        pooled = tf.reduce_sum(x * tf.nn.softmax(scores, axis=1)[:, :, None], 1)
        logits = tf.matmul(pooled, _weights("w", [5, 3]))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        data = np.random.default_rng(0).random([6, 7, 5])
        _train(session, loss, lambda: {x: data, y: np.arange(6) % 3})
