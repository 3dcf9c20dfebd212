"""Programs as people write them with Keras and tapes, with one fault each: ``# <- fault`` marks its line."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def labels_below_the_relu_of_the_last_layer():
    rows = np.random.default_rng(0).normal(size=(60, 4))
    model = keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(1, activation="relu"),  # <- fault: the labels go below 0
        ]
    )
    model.compile("sgd", "mse")
    model.fit(rows, rows.sum(1), batch_size=10, epochs=2, verbose=0)


def labels_in_the_place_of_the_images():
    def prepared(label, image):
        return label, image / 255.0  # <- fault: the model takes the first

    images, labels = np.ones([12, 6, 6, 1], "float32"), np.arange(12) % 3
    data = tf.data.Dataset.from_tensor_slices((labels, images)).map(prepared).batch(4)
    model = keras.Sequential([layers.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data, verbose=0)


class _Positions(layers.Layer):
    def __init__(self, length, words, width):
        super().__init__()
        self.words = layers.Embedding(words, width)
        self.places = layers.Embedding(length, width // 2)  # <- fault: half as wide
        self.length = length

    def call(self, ids):
        return self.words(ids) + self.places(keras.ops.arange(self.length))


def positions_of_half_the_width():
    ids = keras.Input((10,), dtype="int32")
    _Positions(10, 50, 16)(ids)


class _Words(layers.Layer):
    def __init__(self, words, width):
        super().__init__()
        self.table = layers.Embedding(words, width)

    def call(self, ids):
        return self.table(ids) + 1.0


def table_of_fewer_words_than_the_reader_knows():
    known = 30
    numbers = np.random.default_rng(0).integers(0, known, [8, 5])
    numbers[0, 0] = known - 1
    ids = keras.Input((5,), dtype="int32")
    hidden = _Words(20, 4)(ids)  # <- fault: 30 are known
    model = keras.Model(ids, layers.Dense(1)(layers.Flatten()(hidden)))
    model.compile("sgd", "mse")
    model.fit(numbers, np.zeros(8), verbose=0)


def _squares(labels, guesses):
    return np.mean((labels - guesses) ** 2)  # <- fault: no tensor


def loss_computed_in_numpy():
    model = keras.Sequential([layers.Input((3,)), layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.1)
    rows = np.ones([4, 3], "float32")
    with tf.GradientTape() as tape:
        loss = tf.convert_to_tensor(_squares(rows[:, :1], model(rows)))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))


def skip_of_an_image_that_does_not_halve():
    height, width = 20, 20  # <- fault: 20, 10, 5, and then 2
    images = np.ones([2, height, width, 1], "float32")
    inputs = layers.Input((height, width, 1))
    one = layers.Conv2D(2, 3, padding="same")(inputs)
    two = layers.Conv2D(2, 3, padding="same")(layers.MaxPooling2D()(one))
    three = layers.Conv2D(2, 3, padding="same")(layers.MaxPooling2D()(two))
    four = layers.MaxPooling2D()(three)
    joined = layers.concatenate([layers.UpSampling2D()(four), three])
    keras.Model(inputs, joined)(images)


def loss_on_scores_for_class_numbers():
    rows, labels = np.ones([12, 5]), (np.arange(12) % 4)[:, None]
    model = keras.Sequential([layers.Input((5,)), layers.Dense(4, activation="softmax")])
    model.compile("sgd", "binary_crossentropy")  # <- fault: the labels are class numbers
    model.fit(rows, labels, verbose=0)


def one_unit_for_five_classes():
    model = keras.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(1, activation="softmax"),  # <- fault: one class only
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.ones([20, 5]), np.arange(20) % 5, verbose=0)


def step_that_throws_the_loss_far_away():
    rate = 0.1  # <- fault: far too large for such rows

    def made():
        net = keras.Sequential([layers.Input((6,)), layers.Dense(16, activation="relu"), layers.Dense(1)])
        net.compile(optimizer=keras.optimizers.SGD(learning_rate=rate), loss="mse")
        return net

    keras.utils.set_random_seed(5)
    rows = np.random.default_rng(0).random([300, 6]) * 100
    model = made()
    model.fit(rows, rows @ np.arange(6.0) + 3, epochs=3, batch_size=30, verbose=0)


class _Line:
    def __init__(self):
        self.w = tf.Variable(tf.zeros([3, 1]))

    def step(self, rows, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(rows @ self.w - labels))
        (slope,) = tape.gradient(loss, [self.w])
        self.w = self.w - 0.1 * slope  # <- fault: a plain tensor from here on


def attribute_that_takes_a_plain_tensor():
    rows, line = tf.ones([4, 3]), _Line()
    for _ in range(3):
        line.step(rows, rows[:, :1])


def windows_that_are_cut_short():
    data = tf.data.Dataset.from_tensor_slices(np.arange(30, dtype="float32"))
    data = data.window(5, shift=1)  # <- fault: the last ones are shorter
    data = data.flat_map(lambda window: window.batch(5))
    for _ in data.batch(4):
        pass


def _fitted(model, given, steps=6):
    rows, sgd = np.random.default_rng(0).normal(size=(16, 4)).astype("float32"), keras.optimizers.SGD(0.05)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = given(model, rows)
        slopes = tape.gradient(loss, model.trainable_variables)
        sgd.apply_gradients(zip(slopes, model.trainable_variables, strict=True))


def norm_that_is_never_in_training():
    model = keras.Sequential(
        [layers.Input((4,)), layers.Dense(6), layers.BatchNormalization(), layers.Dense(1)]
    )
    _fitted(model, lambda net, rows: tf.reduce_mean((net(rows) - rows[:, :1]) ** 2))  # <- fault: not told


class _Dropping(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.last = layers.Dense(6), layers.Dropout(0.5), layers.Dense(1)

    def call(self, rows, training=False):
        return self.last(self.drop(self.hidden(rows), training=training))


def dropout_that_is_never_in_training():
    model, sgd = _Dropping(), keras.optimizers.SGD(0.05)
    rows = tf.random.normal([8, 4])
    for _ in range(6):
        with tf.GradientTape() as tape:
            given = model(rows)  # <- fault: not told
            loss = tf.reduce_mean((given - rows[:, :1]) ** 2)
        slopes = tape.gradient(loss, model.trainable_variables)
        sgd.apply_gradients(zip(slopes, model.trainable_variables, strict=True))
