"""Programs as people write them with variables of their own and tapes: ``# <- fault`` marks the fault."""

import tempfile
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def _drawn(*shape):
    return tf.Variable(tf.random.normal(shape, stddev=0.1))


def weights_in_a_dict():
    weights = {
        "in": _drawn(6, 8),
        "middle": tf.Variable(tf.zeros([12, 8])),  # <- fault: what comes before gives 8
        "out": _drawn(8, 2),
    }
    rows = tf.ones([5, 6])
    for name in ("in", "middle", "out"):
        rows = tf.nn.relu(rows @ weights[name])


def bias_of_another_width_in_a_traced_loop():
    taken, kept = _drawn(4, 8), _drawn(8, 8)
    bias = tf.Variable(tf.zeros([6]))  # <- fault: the state is 8 wide

    @tf.function
    def last_state(steps):
        state = tf.zeros([3, 8])
        for at in tf.range(5):
            state = tf.tanh(steps[:, at] @ taken + state @ kept + bias)
        return state

    last_state(tf.ones([3, 5, 4]))


def _stack(sizes):
    return [tf.Variable(tf.zeros([a, b])) for a, b in pairwise(sizes)]


def second_stack_of_a_factory():
    rows = tf.ones([5, 10])
    for weight in _stack([10, 8, 4]):
        rows = rows @ weight
    for weight in _stack([6, 8, 10]):  # <- fault: the first ends with 4
        rows = rows @ weight


def _filters(shape):
    return tf.Variable(tf.zeros(shape))


def shapes_in_a_list():
    shapes = [
        (3, 3, 1, 4),
        (300, 10),  # <- fault: 6 * 6 * 4
    ]
    convolved, dense = [_filters(shape) for shape in shapes]
    images = tf.nn.conv2d(tf.ones([2, 12, 12, 1]), convolved, 2, "SAME")
    tf.reshape(images, [2, -1]) @ dense


def every_recurrent_layer_gives_its_steps():
    stack = [layers.Input((7,)), layers.Embedding(20, 6)]
    stack += [layers.LSTM(size, return_sequences=True) for size in (6, 5)]  # <- fault: the last one, too
    model = keras.Sequential([*stack, layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.ones([8, 7], "int32"), np.arange(8) % 3, verbose=0)


def words_never_pooled():
    inputs = layers.Input((7,))
    words = layers.Embedding(20, 6)(inputs)
    hidden = layers.Dense(5, activation="relu")(words)  # <- fault: each word is a row of its own
    model = keras.Model(inputs, layers.Dense(3)(hidden))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.ones([8, 7], "int32"), np.arange(8) % 3, verbose=0)


class _Weighted(layers.Layer):
    def __init__(self):
        super().__init__()
        self.score = layers.Dense(1)

    def call(self, steps):
        shares = tf.nn.softmax(self.score(steps), axis=1)
        return tf.reduce_sum(shares * steps, axis=1, keepdims=True)  # <- fault: the axis is kept


def axis_kept_by_a_pooling_layer():
    inputs = layers.Input((6, 4))
    steps = layers.GRU(5, return_sequences=True)(inputs)
    model = keras.Model(inputs, layers.Dense(3)(_Weighted()(steps)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.ones([8, 6, 4]), np.arange(8) % 3, verbose=0)


def accuracy_for_a_loss():
    weight = _drawn(4, 3)
    labels = tf.constant([0, 1, 2], tf.int64)
    with tf.GradientTape() as tape:
        chosen = tf.argmax(tf.ones([3, 4]) @ weight, axis=1)  # <- fault: has no gradient
        loss = 1 - tf.reduce_mean(tf.cast(chosen == labels, tf.float32))
    keras.optimizers.SGD().apply_gradients([(tape.gradient(loss, weight), weight)])


def _overlap(labels, guesses):
    guesses = tf.cast(guesses > 0.5, tf.float32)  # <- fault: whole masks have no gradient
    return 1 - tf.reduce_sum(labels * guesses) / (tf.reduce_sum(labels) + tf.reduce_sum(guesses) + 1)


def masks_made_whole_in_the_loss():
    model = keras.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", _overlap)
    model.fit(np.ones([8, 4]), np.ones([8, 1]), verbose=0)


def _scaled(rows, weight):
    hidden = rows @ weight
    return tf.constant(hidden.numpy() / 2)  # <- fault: out of the graph


def first_weight_cut_off_by_numpy():
    first, second = _drawn(4, 3), _drawn(3, 1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.matmul(_scaled(tf.ones([5, 4]), first), second) ** 2)
    for weight, slope in zip((first, second), tape.gradient(loss, [first, second]), strict=True):
        weight.assign_sub(0.1 * slope)


class _Fit:
    def __init__(self):
        self.w, self.b = _drawn(3, 1), tf.Variable([0.0])


def _step(fit, rows):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((rows @ fit.w + fit.b - 1) ** 2)
    slopes = tape.gradient(loss, [fit.w, fit.b])
    fit.w.assign_sub(0.1 * slopes[0])
    fit.b = fit.b - 0.1 * slopes[1]  # <- fault: a plain tensor from here on


def one_of_two_variables_replaced():
    fit = _Fit()
    for _ in range(3):
        _step(fit, tf.ones([4, 3]))


def variable_that_counts_on_as_a_tensor():
    total = tf.Variable(0.0)
    for _ in range(2):
        total.assign_add(1.0)
        total = total + 1.0  # <- fault: a plain tensor from here on


class _Hidden(layers.Layer):
    def call(self, rows):
        rows[:, 0] = 0.0  # <- fault: a tensor never changes
        return rows


def item_assigned_in_a_layer():
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3), _Hidden(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones([8, 4]), np.ones([8, 1]), verbose=0)


class Peaked(keras.Model):
    def __init__(self):
        super().__init__()
        self.last = layers.Dense(1)

    def call(self, rows):
        most = rows.numpy().max()  # <- fault: while the graph is built
        return self.last(rows / most)


def value_asked_of_a_symbolic_tensor():
    model = Peaked()
    model.compile("sgd", "mse")
    model.fit(np.ones([8, 4]), np.ones([8, 1]), verbose=0)


def _unit(rows):
    return rows / np.linalg.norm(rows)  # <- fault: NumPy has no symbols


def numpy_in_a_lambda():
    inputs = layers.Input((4,))
    layers.Lambda(_unit)(layers.Dense(3)(inputs))


def sums_of_gradients_in_variables():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((4,)), layers.Dense(1)])
    sgd, rows = keras.optimizers.SGD(0.01), tf.random.normal([8, 4])
    sums = [tf.Variable(tf.zeros_like(one), trainable=False) for one in model.trainable_variables]
    for at in range(16):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(rows) - rows[:, :1]) ** 2)
        for one, slope in zip(sums, tape.gradient(loss, model.trainable_variables), strict=True):
            one.assign_add(slope / 2)
        if at % 2:
            sgd.apply_gradients(zip(sums, model.trainable_variables, strict=True))  # <- fault: no reset


def sums_of_gradients_as_they_come():
    weight, sums, rows = _drawn(4, 1), None, tf.random.normal([8, 4])
    sgd = keras.optimizers.SGD(0.01)
    for at in range(16):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((rows @ weight - rows[:, :1]) ** 2)
        slope = tape.gradient(loss, weight)
        sums = slope if sums is None else sums + slope
        if at % 2:
            sgd.apply_gradients([(sums, weight)])  # <- fault: no reset


def maps_joined_along_their_height():
    inputs = layers.Input((8, 8, 3))
    ways = [layers.Conv2D(size, side, padding="same")(inputs) for size, side in ((4, 1), (6, 3), (2, 5))]
    layers.Concatenate(axis=1)(ways)  # <- fault: the channels are last


class _Wide(keras.Model):
    def __init__(self, width):
        super().__init__()
        self.hidden, self.last = layers.Dense(width), layers.Dense(2)

    def call(self, rows):
        return self.last(self.hidden(rows))


def weights_of_a_narrower_model():
    with tempfile.TemporaryDirectory() as folder:
        table = _Wide(8)
        table(tf.ones([2, 4]))
        path = tf.train.Checkpoint(model=table).save(f"{folder}/at")
        other = _Wide(9)  # <- fault: it was 8
        other(tf.ones([2, 4]))
        tf.train.Checkpoint(model=other).restore(path)
