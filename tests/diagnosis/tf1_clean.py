"""Clean programs in TF1 graphs and sessions, near misses among them: nothing may be found."""

import os
import tempfile

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def trained_cnn():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 28, 28, 1])
        y = v1.placeholder(tf.int32, [None])
        k = v1.get_variable("k", [3, 3, 1, 4])
        h = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, k, 1, "SAME")), 2, 2, "SAME")
        w = v1.get_variable("w", [14 * 14 * 4, 10])
        logits = tf.matmul(tf.reshape(h, [-1, 14 * 14 * 4]), w)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        train = v1.train.AdamOptimizer(0.01).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(4):
            session.run([train, loss], {x: np.random.rand(6, 28, 28, 1), y: np.zeros(6)})


def merge_batch_and_time():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6, 8])
        y = v1.placeholder(tf.int32, [None, 6])
        w = v1.get_variable("w", [8, 7])
        logits = tf.matmul(tf.reshape(x, [-1, 8]), w)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.reshape(y, [-1]), logits=logits)
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: np.zeros([4, 6, 8]), y: np.zeros([4, 6])})


def masked_log_of_data():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None])
        y = tf.reduce_sum(tf.where(x > 0, tf.math.log(x), tf.zeros_like(x)))
        session.run(y, {x: [0.0, 1.0]})


def masked_softmax():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4])
        scores = tf.where(x > 0, x, tf.fill(tf.shape(x), -np.inf))
        session.run(tf.nn.softmax(scores), {x: [[0.0, 1.0, 2.0, 0.0]]})


def regression():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        y = v1.placeholder(tf.float32, [None, 1])
        w = tf.Variable(tf.zeros([3, 1]))
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        train = v1.train.GradientDescentOptimizer(0.05).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(6):
            data = np.random.normal(size=[32, 3])
            session.run([train, loss], {x: data, y: data.sum(1, keepdims=True)})


def checked_and_caught():
    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("w", [2])
        try:
            session.run(w)
        except tf.errors.FailedPreconditionError:
            session.run(v1.global_variables_initializer())
        session.run(w + 1)


def regression_from_zero():
    """One layer of zeros learns."""
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 1])
        loss = tf.reduce_mean(tf.square(tf.matmul(x, tf.Variable(tf.zeros([6, 1]))) - y))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(3):
            session.run([train, loss], {x: np.random.rand(3, 6), y: np.ones([3, 1])})


def hidden_relu_before_the_logits():
    """The relu of a hidden layer is none of the logits."""
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.int32, [None])
        h = tf.nn.relu(tf.matmul(x, v1.get_variable("w1", [6, 5])))
        logits = tf.matmul(h, v1.get_variable("w2", [5, 3]))
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: np.random.rand(4, 6), y: [0, 1, 2, 0]})


def state_made_for_the_batch_that_came():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4, 3])
        w = v1.get_variable("w", [3, 5])
        h = tf.zeros([tf.shape(x)[0], 5])
        for step in range(4):
            h = tf.tanh(tf.matmul(x[:, step], w) + h)
        session.run(v1.global_variables_initializer())
        session.run(h, {x: np.zeros([16, 4, 3])})
        session.run(h, {x: np.zeros([6, 4, 3])})


def step_size_by_stairs():
    with tf.Graph().as_default(), v1.Session() as session:
        step = v1.train.get_or_create_global_step()
        rate = 0.1 * tf.pow(0.5, tf.cast(step // 100, tf.float32))
        w = tf.Variable(1.0)
        train = v1.train.GradientDescentOptimizer(rate).minimize(tf.square(w), global_step=step)
        session.run(v1.global_variables_initializer())
        for _ in range(3):
            session.run(train)


def _regression(scope=""):
    with v1.variable_scope(scope or "model"):
        x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 1])
        w = v1.get_variable("w", [4, 1])
    loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
    train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
    return {x: np.linspace(0, 1, 32).reshape(8, 4), y: np.ones([8, 1])}, w, loss, train


def updates_that_a_step_depends_on():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4])
        w = v1.get_variable("w", [4, 1])
        mean = v1.get_variable("mean", [4], initializer=v1.zeros_initializer(), trainable=False)
        update = v1.assign(mean, 0.9 * mean + 0.1 * tf.reduce_mean(x, 0))
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, update)
        loss = tf.reduce_mean(tf.square(tf.matmul(x - mean, w) - 1.0))
        with tf.control_dependencies(v1.get_collection(v1.GraphKeys.UPDATE_OPS)):
            train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(4):
            session.run(train, {x: np.linspace(0, 1, 32).reshape(8, 4)})


def rate_that_is_lowered_only_on_a_plateau():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4])
        w = v1.get_variable("w", [4, 1])
        rate = tf.Variable(0.1, trainable=False)
        lower = v1.assign(rate, rate * 0.5)
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - 1.0))
        train = v1.train.GradientDescentOptimizer(rate).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(4):
            value, _ = session.run([loss, train], {x: np.linspace(0, 1, 32).reshape(8, 4)})
            if value > 1e6:
                session.run(lower)


def folds_that_each_begin_anew():
    with tf.Graph().as_default(), v1.Session() as session:
        feeds, _, _, train = _regression()
        initialize = v1.global_variables_initializer()
        for _ in range(5):
            session.run(initialize)
            for _ in range(2):
                session.run(train, feeds)


def loss_before_training_that_was_never_begun():
    with tf.Graph().as_default(), v1.Session() as session:
        feeds, _, loss, train = _regression()
        session.run(v1.global_variables_initializer())
        values = [session.run(loss, feeds) for _ in range(6)]
        if values[0] < 0:
            session.run(train, feeds)


def models_of_a_sweep_in_one_graph():
    with tf.Graph().as_default(), v1.Session() as session:
        for trial in range(6):
            feeds, _, _, train = _regression(f"model{trial}")
            session.run(v1.global_variables_initializer())
            for _ in range(2):
                session.run(train, feeds)


def dropout_where_training_is_watched_and_not_where_it_is_judged():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.int64, [None])
        keep = v1.placeholder(tf.float32)
        w1, w2 = v1.get_variable("w1", [4, 8]), v1.get_variable("w2", [8, 2])
        logits = tf.matmul(v1.nn.dropout(tf.nn.relu(tf.matmul(x, w1)), keep_prob=keep), w2)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        hits = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), y), tf.float32))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        rows, labels = np.linspace(0, 1, 48).reshape(12, 4), np.arange(12) % 2
        for _ in range(4):
            session.run(train, {x: rows[:8], y: labels[:8], keep: 0.5})
            session.run(hits, {x: rows[:8], y: labels[:8], keep: 0.5})
        session.run(hits, {x: rows, y: labels, keep: 1.0})


def _saved(folder):
    w = v1.get_variable("w", [3, 1])
    guess = tf.matmul(tf.ones([2, 3]), w)
    saver = v1.train.Saver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        return guess, saver, saver.save(session, os.path.join(folder, "net"))


def restored_after_the_initializer():
    with tf.Graph().as_default(), tempfile.TemporaryDirectory() as folder:
        guess, saver, path = _saved(folder)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            saver.restore(session, path)
            session.run(guess)


def restored_and_judged_before_a_new_beginning():
    with tf.Graph().as_default(), tempfile.TemporaryDirectory() as folder:
        guess, saver, path = _saved(folder)
        with v1.Session() as session:
            saver.restore(session, path)
            session.run(guess)
            session.run(v1.global_variables_initializer())
            session.run(guess)


def restored_in_a_session_of_its_own():
    with tf.Graph().as_default(), tempfile.TemporaryDirectory() as folder:
        guess, saver, path = _saved(folder)
        with v1.Session() as session:
            saver.restore(session, path)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            session.run(guess)


def queue_that_ends_the_loop():
    with tf.Graph().as_default(), v1.Session() as session:
        rows = v1.train.slice_input_producer([np.ones([8, 3], "float32")], num_epochs=1)
        batch = v1.train.batch(rows, batch_size=4)
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        coordinator = v1.train.Coordinator()
        threads = v1.train.start_queue_runners(session, coordinator)
        try:
            while not coordinator.should_stop():
                session.run(batch)
        except tf.errors.OutOfRangeError:
            coordinator.request_stop()
        coordinator.join(threads, stop_grace_period_secs=5)
