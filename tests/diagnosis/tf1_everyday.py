"""Programs as people write them for sessions, with one fault each: ``# <- fault`` marks where it was born."""

import os
import tempfile

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def _weights(name, shape):
    return v1.get_variable(name, shape, initializer=v1.random_normal_initializer(stddev=0.1))


def _train(session, loss, feeds, steps=4):
    step = v1.train.GradientDescentOptimizer(0.01).minimize(loss)
    session.run(v1.global_variables_initializer())
    for _ in range(steps):
        session.run([step, loss], feeds())


def write_outside_of_its_branch():
    with tf.Graph().as_default(), v1.Session() as session:
        v1.disable_control_flow_v2()
        x, training = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.bool)
        mean = v1.get_variable("mean", [4], initializer=v1.zeros_initializer(), use_resource=False)
        update = v1.assign(mean, 0.9 * mean + 0.1 * tf.reduce_mean(x, 0))  # <- fault: made before the choice
        centre = v1.cond(training, lambda: update, lambda: tf.identity(mean))
        v1.enable_control_flow_v2()
        out = x - centre
        session.run(v1.global_variables_initializer())
        for flag in (True, False):
            session.run(out, {x: np.ones([3, 4]), training: flag})


def iterator_without_its_initializer():
    with tf.Graph().as_default(), v1.Session() as session:
        data = tf.data.Dataset.from_tensor_slices(np.ones([8, 3], "float32")).repeat().batch(4)
        rows = v1.data.make_initializable_iterator(data).get_next()
        out = tf.matmul(rows, _weights("w", [3, 2]))
        session.run(v1.global_variables_initializer())  # <- fault: of variables only
        session.run(out)


def labels_of_classes_by_samples():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [5, None]), v1.placeholder(tf.float32, [3, None])
        scores = tf.matmul(_weights("w", [3, 5]), x)
        loss = _turned_loss(scores, y)
        _train(session, loss, lambda: {x: np.ones([5, 20]), y: np.eye(3)[:, np.zeros(20, int)]})


def _turned_loss(scores, labels):
    logits = tf.transpose(scores)
    targets = labels  # <- fault: the classes are in front
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(logits=logits, labels=targets))


def _dense(x, n, name, activation=None):
    y = tf.matmul(x, _weights(name, [int(x.shape[1]), n]))
    return activation(y) if activation is not None else y


def softmax_asked_of_a_helper():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
        hidden = _dense(x, 8, "a", tf.nn.relu)
        out = _dense(hidden, 3, "b", tf.nn.softmax)  # <- fault: the loss takes logits
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=out))
        _train(session, loss, lambda: {x: np.ones([4, 6]), y: np.eye(3)[[0, 1, 2, 0]]})


def sigmoid_before_a_loss_on_logits():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 1])
        out = tf.sigmoid(tf.matmul(x, _weights("w", [6, 1])))  # <- fault: the loss takes logits
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=out))
        _train(session, loss, lambda: {x: np.ones([4, 6]), y: np.array([[0], [1], [1], [0]])})


def skip_joined_along_the_batch():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 8, 8, 2])
        y = v1.placeholder(tf.float32, [None, 8, 8, 1])
        up = tf.nn.conv2d(x, _weights("a", [3, 3, 2, 2]), 1, "SAME")
        both = tf.concat([up, x], 0)  # <- fault: not the axis of channels
        out = tf.nn.conv2d(both, _weights("b", [1, 1, 2, 1]), 1, "SAME")
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=out))
        _train(session, loss, lambda: {x: np.ones([4, 8, 8, 2]), y: np.ones([4, 8, 8, 1])})


def last_step_taken_off_the_batch():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 7, 5]), v1.placeholder(tf.int32, [None])
        last = x[-1]  # <- fault: the last sample, not the last step
        logits = tf.matmul(last, _weights("w", [5, 4]))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        _train(session, loss, lambda: {x: np.ones([30, 7, 5]), y: np.zeros(30)})


def _darkened(images):
    flat = images.reshape(len(images), -1)
    return flat // 255  # <- fault: all of them become 0


def images_that_whole_numbers_left_black():
    with tf.Graph().as_default(), v1.Session() as session:
        images = np.random.default_rng(0).integers(0, 255, [40, 4, 4]).astype("uint8")
        images = _darkened(images)
        x, y = v1.placeholder(tf.float32, [None, 16]), v1.placeholder(tf.int32, [None])
        logits = tf.matmul(tf.nn.relu(tf.matmul(x, _weights("a", [16, 8]))), _weights("b", [8, 2]))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        step = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for i in range(0, 40, 10):
            session.run([step, loss], {x: images[i : i + 10], y: np.arange(10) % 2})


def _standardized(a):
    with np.errstate(invalid="ignore"):
        return (a - a.mean(0)) / a.std(0)  # <- fault: one column never changes


def constant_column_standardized():
    with tf.Graph().as_default(), v1.Session() as session:
        table = np.random.default_rng(0).random([20, 3])
        table[:, 1] = 1.0
        rows = _standardized(table)
        x, y = v1.placeholder(tf.float32, [None, 3]), v1.placeholder(tf.float32, [None, 1])
        loss = tf.reduce_mean(tf.square(tf.matmul(x, _weights("w", [3, 1])) - y))
        step = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(3):
            session.run([step, loss], {x: rows, y: np.ones([20, 1])})


class _Images:
    def __init__(self, count):
        raw = np.arange(count * 48) % 255
        self.images = raw.reshape(count, 3, 4, 4) / 255.0  # <- fault: the channels are in front
        self.at = 0

    def next_batch(self, count):
        self.at += count
        return self.images[self.at - count : self.at], np.zeros(count)


def images_with_their_channels_first_are_fed():
    with tf.Graph().as_default(), v1.Session() as session:
        images = _Images(20)
        x = v1.placeholder(tf.float32, [None, 4, 4, 3])
        y = v1.placeholder(tf.int32, [None])
        logits = tf.reduce_mean(tf.nn.conv2d(x, _weights("k", [3, 3, 3, 2]), 1, "SAME"), [1, 2])
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        session.run(v1.global_variables_initializer())
        for _ in range(2):
            batch, targets = images.next_batch(10)
            session.run(loss, {x: batch, y: targets})


def class_numbers_are_fed_for_one_hot():
    with tf.Graph().as_default(), v1.Session() as session:
        labels = np.arange(40) % 3  # <- fault: not one-hot
        x = v1.placeholder(tf.float32, [None, 5])
        y = v1.placeholder(tf.float32, [None, 3])
        logits = tf.matmul(x, _weights("w", [5, 3]))
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits))
        session.run(v1.global_variables_initializer())
        for i in range(0, 40, 10):
            batch = labels[i : i + 10]
            session.run(loss, {x: np.ones([10, 5]), y: batch})


def _training(loss):
    optimizer = v1.train.GradientDescentOptimizer(0.1)
    optimizer.minimize(loss)  # <- fault: nothing is returned


def train_op_that_a_function_keeps():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 5])
        loss = tf.reduce_mean(tf.matmul(x, _weights("w", [5, 3])))
        train_op = _training(loss)
        session.run(v1.global_variables_initializer())
        session.run([train_op, loss], {x: np.ones([2, 5])})


def steps_taken_apart_along_the_batch():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6, 4])
        w, u = _weights("w", [4, 8]), _weights("u", [8, 8])
        begin = tf.zeros([tf.shape(x)[0], 8])
        states = v1.scan(lambda h, now: tf.tanh(now @ w + h @ u), x, begin)  # <- fault: over the samples
        session.run(v1.global_variables_initializer())
        session.run(states, {x: np.ones([15, 6, 4])})


def rows_taken_apart_for_steps():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6, 4])
        steps = tf.unstack(x, 6, 0)  # <- fault: the steps are on axis 1
        session.run(tf.add_n(steps), {x: np.ones([15, 6, 4])})


def _pool(x, stride=2):
    return tf.nn.max_pool2d(x, 2, [1, stride, stride, 1], "SAME")


def pool_of_another_stride_than_its_fellow():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 28, 28, 1]), v1.placeholder(tf.int32, [None])
        h = _pool(tf.nn.conv2d(x, _weights("a", [3, 3, 1, 4]), 1, "SAME"))
        h = _pool(tf.nn.conv2d(h, _weights("b", [3, 3, 4, 4]), 1, "SAME"), stride=1)  # <- fault: 14 stays 14
        w = _weights("w", [7 * 7 * 4, 10])
        flat = tf.reshape(h, [-1, int(w.shape[0])])
        logits = tf.matmul(flat, w)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: np.ones([5, 28, 28, 1]), y: np.zeros(5)})


def one_score_against_labels_of_two():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 5]), v1.placeholder(tf.float32, [None, 2])
        w = v1.get_variable("w", [5, 1])  # <- fault: one score for two classes
        logits = tf.matmul(x, w) + v1.get_variable("b", [1])
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits))
        _train(session, loss, lambda: {x: np.ones([20, 5]), y: np.eye(2)[np.zeros(20, int)]})


def labels_below_a_relu():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 5]), v1.placeholder(tf.float32, [None, 1])
        out = tf.nn.relu(tf.matmul(x, _weights("w", [5, 1])))  # <- fault: never below 0
        loss = tf.reduce_mean(tf.square(out - y))
        _train(session, loss, lambda: {x: np.ones([6, 5]), y: np.linspace(-2, 2, 6)[:, None]})


def weights_of_the_steps_add_up_over_the_batch():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 7, 5]), v1.placeholder(tf.int32, [None])
        scores = tf.squeeze(tf.tensordot(tf.tanh(x), _weights("v", [5, 1]), 1), -1)
        shares = tf.nn.softmax(scores, axis=0)  # <- fault: not over the steps
        pooled = tf.reduce_sum(x * shares[:, :, None], 1)
        logits = tf.matmul(pooled, _weights("w", [5, 3]))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        _train(session, loss, lambda: {x: np.ones([6, 7, 5]), y: np.arange(6) % 3})


def optimizer_of_the_other_network():
    with tf.Graph().as_default(), v1.Session() as session:
        z, x = v1.placeholder(tf.float32, [None, 3]), v1.placeholder(tf.float32, [None, 2])
        makes, judges = _weights("makes", [3, 2]), _weights("judges", [2, 1])
        real, made = tf.matmul(x, judges), tf.matmul(tf.tanh(tf.matmul(z, makes)), judges)
        loss, other = tf.reduce_mean(tf.square(real - 1) + tf.square(made)), tf.reduce_mean(tf.square(made - 1))
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        first = optimizer.minimize(loss, var_list=[judges])
        second = optimizer.minimize(other, var_list=[judges])  # <- fault: of the judge, not the maker
        session.run(v1.global_variables_initializer())
        for _ in range(4):
            session.run(first, {x: np.ones([4, 2]), z: np.eye(4, 3)})
            session.run(second, {z: np.eye(4, 3)})


class _Reader:
    def __init__(self, words, width):
        self.ids = v1.placeholder(tf.int32, [None, 4])
        self.table = self._table("table", words, width)
        self.mean = tf.reduce_mean(tf.nn.embedding_lookup(self.table, self.ids), 1)

    def _table(self, name, rows, columns):
        return v1.get_variable(name, [rows, columns])


def table_without_a_row_for_the_mark():
    words = 30
    with tf.Graph().as_default(), v1.Session() as session:
        reader = _Reader(words, 8)  # <- fault: the mark has number 30
        ids = np.random.default_rng(0).integers(0, words, [5, 4])
        ids[:, 0] = words
        session.run(v1.global_variables_initializer())
        session.run(reader.mean, {reader.ids: ids})


def all_variables_chosen_to_be_restored():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net")
        with tf.Graph().as_default(), v1.Session() as session:
            v1.get_variable("head", [4, 20], use_resource=False)
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, path)
        with tf.Graph().as_default(), v1.Session() as session:
            v1.get_variable("head", [4, 5], use_resource=False)
            restorer = v1.train.Saver(v1.trainable_variables())  # <- fault: the new head, too
            restorer.restore(session, path)


def _layer(x, before, after, name):
    with v1.variable_scope(name):
        w = v1.get_variable("w", [before, after], initializer=v1.random_normal_initializer(stddev=0.1))
        return tf.nn.relu(tf.matmul(x, w))


def product_of_sizes_given_to_a_helper():
    with tf.Graph().as_default():
        images = v1.placeholder(tf.float32, [None, 12, 12, 3])
        pooled = tf.nn.max_pool2d(images, 2, 2, "VALID")
        hidden = _layer(tf.reshape(pooled, [-1, 6 * 6 * 3]), 7 * 7 * 3, 20, "hidden")  # <- fault
        _layer(hidden, 20, 5, "out")


def batched_class_numbers_against_a_dense_loss():
    with tf.Graph().as_default():
        rows, kinds = np.random.RandomState(0).randn(40, 5).astype("f"), np.arange(40) % 3
        pairs = v1.data.Dataset.from_tensor_slices((rows, kinds.astype("f")))
        pairs = pairs.repeat(2).batch(8, drop_remainder=True)
        x, y = v1.data.make_one_shot_iterator(pairs).get_next()
        scores = tf.matmul(x, _weights("w", [5, 3]))
        tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=scores)  # <- fault: the sparse one


def rate_in_a_flag():
    v1.app.flags.DEFINE_float("lr", 50.0, "learning rate")  # <- fault
    flags = v1.app.flags.FLAGS
    flags(["train"])
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        loss = tf.reduce_mean(tf.square(tf.matmul(x, _weights("w", [3, 1])) - 1.0))
        step = v1.train.GradientDescentOptimizer(flags.lr).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(40):
            session.run([step, loss], {x: np.ones([4, 3])})
