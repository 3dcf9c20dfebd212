"""Programs for sessions in which a number, a function or an array was written far from the line that shows it:
``# <- fault`` marks where.
"""

import argparse
from collections import namedtuple

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def _run(loss, feeds, steps=3):
    step = v1.train.AdamOptimizer(0.01).minimize(loss)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        for _ in range(steps):
            session.run([step, loss], feeds)


def _matrix(rows, columns, name):
    return v1.get_variable(name, [rows, columns], initializer=v1.glorot_uniform_initializer(seed=1))


def _layer(x, rows, columns, name, function=None):
    made = tf.matmul(x, _matrix(rows, columns, name)) + v1.get_variable(name + "_b", [columns])
    return made if function is None else function(made)


def _class_loss(scores, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(logits=scores, labels=labels))


def width_in_a_row_of_a_table():
    with tf.Graph().as_default():
        rows = [
            {"name": "one", "shape": (12, 20)},
            {"name": "two", "shape": (24, 16)},  # <- fault: the layer before gives 20
            {"name": "out", "shape": (16, 3)},
        ]
        x, y = v1.placeholder(tf.float32, [None, 12]), v1.placeholder(tf.int64, [None])
        net = x
        for row in rows:
            net = _layer(net, row["shape"][0], row["shape"][1], row["name"])
        _run(_class_loss(net, y), {x: np.ones([4, 12]), y: np.zeros(4)})


class _Pictures:
    side = 20

    def __init__(self, side, maps):
        self.maps = maps
        self.flat = side // 4 * (side // 4) * self.maps  # <- fault: one pool halves the sides, not two
        self.x = v1.placeholder(tf.float32, [None, self.side, self.side, 1])
        self.y = v1.placeholder(tf.int64, [None])

    def scores(self):
        kernel = v1.get_variable("kernel", [3, 3, 1, self.maps])
        maps = tf.nn.relu(tf.nn.conv2d(self.x, kernel, [1, 1, 1, 1], "SAME"))
        pooled = tf.nn.max_pool2d(maps, 2, 2, "SAME")
        return self._head(tf.reshape(pooled, [-1, self.flat]))

    def _head(self, rows):
        return _layer(rows, int(rows.shape[1]), 3, "head")


def flat_size_computed_where_the_object_is_made():
    with tf.Graph().as_default():
        model = _Pictures(_Pictures.side, 6)
        loss = _class_loss(model.scores(), model.y)
        _run(loss, {model.x: np.ones([5, 20, 20, 1]), model.y: np.zeros(5)})


def classes_counted_by_a_set_of_names():
    names = ("cat", "dog", "bird")

    def head(rows, count):
        return _layer(rows, 8, count, "head")

    with tf.Graph().as_default():
        count = len(names) - 1  # <- fault: there are three
        x, y = v1.placeholder(tf.float32, [None, 8]), v1.placeholder(tf.int32, [None])
        _run(_class_loss(head(x, count), y), {x: np.ones([6, 8]), y: [0, 1, 2, 0, 1, 2]})


def units_of_a_settings_object():
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--rows", type=int, default=23)  # <- fault: the layer before gives 32
    args = parser.parse_args([])
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 10]), v1.placeholder(tf.int64, [None])
        hidden = _layer(x, 10, args.units, "one", tf.nn.relu)
        _run(_class_loss(_layer(hidden, args.rows, 4, "two"), y), {x: np.ones([4, 10]), y: np.zeros(4)})


def size_of_the_layer_after_in_a_named_tuple():
    layer = namedtuple("layer", "rows columns")
    with tf.Graph().as_default():
        first, second = layer(10, 32), layer(rows=30, columns=4)  # <- fault: 32 come
        x, y = v1.placeholder(tf.float32, [None, 10]), v1.placeholder(tf.int64, [None])
        hidden = _layer(x, first.rows, first.columns, "one")
        scores = _layer(hidden, second.rows, second.columns, "two")
        _run(_class_loss(scores, y), {x: np.ones([4, 10]), y: np.zeros(4)})


def flatten_as_large_as_a_matrix_of_another_image():
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 20, 20, 1]), v1.placeholder(tf.int64, [None])
        weights = {
            "maps": tf.Variable(tf.random.normal([3, 3, 1, 4], stddev=0.1, seed=1)),
            "out": tf.Variable(tf.random.normal([7 * 7 * 4, 3], stddev=0.1, seed=1)),  # <- fault: 10 by 10 come
        }
        maps = tf.nn.relu(tf.nn.conv2d(x, weights["maps"], [1, 2, 2, 1], "SAME"))
        rows = tf.reshape(maps, [-1, weights["out"].shape.as_list()[0]])
        scores = tf.matmul(rows, weights["out"])
        _run(_class_loss(scores, y), {x: np.ones([5, 20, 20, 1]), y: np.zeros(5)})


def softmax_in_a_table_of_layers():
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
        net, rows = x, 6
        for number, (columns, function) in enumerate([
            (8, tf.nn.relu),
            (3, tf.nn.softmax),  # <- fault: the loss takes logits
        ]):  # fmt: skip
            net, rows = _layer(net, rows, columns, f"layer{number}", function), columns
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=net))
        _run(loss, {x: np.ones([4, 6]), y: np.eye(3)[[0, 1, 2, 0]]}, steps=5)


def softmax_by_its_name():
    settings = {
        "hidden": "relu",
        "last": "softmax",  # <- fault: the loss takes logits
    }
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
        hidden = _layer(x, 6, 8, "one", getattr(tf.nn, settings["hidden"]))
        out = _layer(hidden, 8, 3, "two", getattr(tf.nn, settings["last"]))
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=out))
        _run(loss, {x: np.ones([4, 6]), y: np.eye(3)[[0, 1, 2, 0]]}, steps=5)


def weights_that_a_helper_begins_at_zero():
    def weight(shape):
        return tf.Variable(tf.zeros(shape))  # <- fault: no unit differs from another

    def bias(size):
        return tf.Variable(tf.constant(0.1, shape=[size]))

    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.int64, [None])
        hidden = tf.nn.tanh(tf.matmul(x, weight([6, 8])) + bias(8))
        scores = tf.matmul(hidden, weight([8, 3])) + bias(3)
        _run(_class_loss(scores, y), {x: np.ones([4, 6]), y: np.zeros(4)}, steps=6)


def whole_numbers_in_a_pipeline():
    def table():
        counts = np.random.RandomState(0).randint(0, 9, (40, 5))  # <- fault: the product takes float32
        return {"price": np.ones([40, 1], np.float32), "counts": counts}

    with tf.Graph().as_default():
        stages = tf.data.Dataset.from_tensor_slices(table()).shuffle(40, seed=1).repeat().batch(8)
        batch = v1.data.make_one_shot_iterator(stages).get_next()
        guess = tf.matmul(batch["counts"], _matrix(5, 1, "w"))
        _run(tf.reduce_mean(tf.square(guess - batch["price"])), {})


def doubles_of_the_second_of_two_sets():
    with tf.Graph().as_default():
        rows = tf.data.Dataset.from_tensor_slices(np.ones([40, 5], np.float32))
        prices = np.linspace(0, 1, 40).reshape(-1, 1)  # <- fault: float64, and the guesses are float32
        pairs = tf.data.Dataset.zip((rows, tf.data.Dataset.from_tensor_slices(prices))).batch(8)
        x, y = v1.data.make_one_shot_iterator(pairs).get_next()
        _run(tf.reduce_mean(tf.square(tf.matmul(x, _matrix(5, 1, "w")) - y)), {})


def placeholder_as_channels_that_lie_first():
    raw = np.random.RandomState(0).rand(12, 3 * 16 * 16).astype(np.float32)
    images = raw.reshape(-1, 3, 16, 16)  # <- fault: to be transposed to channels last
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, (None, *images.shape[1:]))
        kernel = v1.get_variable("kernel", [3, 3, 3, 8])
        maps = tf.nn.conv2d(x, kernel, [1, 1, 1, 1], "SAME")
        _run(tf.reduce_mean(tf.square(maps)), {x: images})


def mean_over_the_features():
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 7, 12]), v1.placeholder(tf.int64, [None])
        summary = tf.reduce_mean(x, 2)  # <- fault: over the steps, axis 1
        _run(_class_loss(_layer(summary, 12, 3, "out"), y), {x: np.ones([4, 7, 12]), y: np.zeros(4)})


def padding_told_to_a_helper():
    def maps(x, count, name, padding="SAME"):
        kernel = v1.get_variable(name, [3, 3, int(x.shape[-1]), count])
        return tf.nn.conv2d(x, kernel, [1, 1, 1, 1], padding=padding)

    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 12, 12, 1])
        code = tf.nn.relu(maps(x, 4, "code"))
        again = maps(code, 1, "again", padding="VALID")  # <- fault: two rows are lost
        _run(tf.reduce_mean(tf.square(again - x)), {x: np.ones([5, 12, 12, 1])})


def units_dropped_by_a_constant_of_the_class():
    class Net:
        keep = 0.4

        def __init__(self):
            self.x, self.y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
            self.amount = v1.placeholder(tf.float32)
            hidden = v1.nn.dropout(_layer(self.x, 6, 16, "one", tf.nn.relu), keep_prob=self.amount)
            scores = _layer(hidden, 16, 3, "two")
            losses = tf.nn.softmax_cross_entropy_with_logits(labels=self.y, logits=scores)
            self.step = v1.train.AdamOptimizer(0.01).minimize(tf.reduce_mean(losses))
            right = tf.equal(tf.argmax(scores, 1), tf.argmax(self.y, 1))
            self.accuracy = tf.reduce_mean(tf.cast(right, tf.float32))

    with tf.Graph().as_default(), v1.Session() as session:
        net = Net()
        session.run(v1.global_variables_initializer())
        for _ in range(12):
            session.run(net.step, {net.x: np.ones([8, 6]), net.y: np.eye(3)[[0] * 8], net.amount: net.keep})
        feeds = {net.x: np.ones([20, 6]), net.y: np.eye(3)[[0] * 20]}
        session.run(net.accuracy, {**feeds, net.amount: net.keep})  # <- fault: all units are due


def initializer_of_every_epoch():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.int64, [None])
        loss = _class_loss(_layer(x, 6, 3, "w"), y)
        step = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        rows, labels = np.random.RandomState(0).rand(24, 6), np.arange(24) % 3
        for _ in range(6):
            session.run(v1.global_variables_initializer())  # <- fault: each epoch begins anew
            for at in range(0, 24, 8):
                session.run([step, loss], {x: rows[at : at + 8], y: labels[at : at + 8]})


def distance_of_equal_points():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None])
        one, other = _layer(x, 4, 2, "net"), _layer(x, 4, 2, "beside")
        with v1.variable_scope("net", reuse=v1.AUTO_REUSE):
            gap = tf.reduce_sum(tf.square(one - tf.stop_gradient(one) + 0.0 * other), 1)
        distance = tf.sqrt(gap)  # <- fault: its derivative at 0 is infinite
        loss = tf.reduce_mean(y * distance + (1 - y) * tf.maximum(1.0 - distance, 0.0))
        step = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(4):
            session.run([step, loss], {x: np.ones([6, 4]), y: np.zeros(6)})


def softmax_over_one_column():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 1])
        scores = _layer(x, 6, 1, "out")
        losses = tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=scores)  # <- fault: it is always 0
        loss = tf.reduce_mean(losses)
        step = v1.train.AdamOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(12):
            session.run([step, loss], {x: np.random.rand(8, 6), y: np.ones([8, 1])})


def loss_of_what_was_rounded():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None])
        guess = tf.round(tf.sigmoid(_layer(x, 6, 1, "out")))[:, 0]  # <- fault: no gradient passes
        loss = tf.reduce_mean(tf.square(guess - y)) + 0.0 * tf.reduce_sum(v1.trainable_variables()[0])
        step = v1.train.AdamOptimizer(0.001).minimize(loss)
        session.run(v1.global_variables_initializer())
        rows = np.random.RandomState(0).rand(8, 6)
        for _ in range(12):
            session.run([step, loss], {x: rows, y: np.ones([8])})


def rows_by_a_property():
    class Net:
        def __init__(self):
            self.x, self.y = v1.placeholder(tf.float32, [None, 10]), v1.placeholder(tf.int64, [None])
            self.loss = _class_loss(_layer(_layer(self.x, 10, 32, "one"), self.depth, 3, "two"), self.y)

        @property
        def depth(self):
            return 26  # <- fault: 32 come

    with tf.Graph().as_default():
        net = Net()
        _run(net.loss, {net.x: np.ones([4, 10]), net.y: np.zeros(4)})


def rows_told_to_a_lambda():
    with tf.Graph().as_default():
        product = lambda x, height, width, name: tf.matmul(x, _matrix(height, width, name))  # noqa: E731
        x, y = v1.placeholder(tf.float32, [None, 10]), v1.placeholder(tf.int64, [None])
        hidden = product(x, 10, 32, "one")
        scores = product(hidden, 27, 3, "two")  # <- fault: 32 come
        _run(_class_loss(scores, y), {x: np.ones([4, 10]), y: np.zeros(4)})


def rows_of_words_that_are_spread():
    last = {
        "rows": 28,  # <- fault: 32 come
        "columns": 3,
    }
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 10]), v1.placeholder(tf.int64, [None])
        hidden = _layer(x, 10, 32, "one")
        scores = _layer(hidden, name="two", **last)
        _run(_class_loss(scores, y), {x: np.ones([4, 10]), y: np.zeros(4)})


def rows_that_an_inner_function_reads():
    def build(x, height):
        def head(hidden):
            return _layer(hidden, height, 3, "two")

        return head(_layer(x, 10, 32, "one"))

    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 10]), v1.placeholder(tf.int64, [None])
        scores = build(x, 29)  # <- fault: 32 come
        _run(_class_loss(scores, y), {x: np.ones([4, 10]), y: np.zeros(4)})
