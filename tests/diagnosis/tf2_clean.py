"""Clean programs in eager TensorFlow, tf.function and Keras, near misses among them: nothing may be found."""

import keras
import numpy as np
import tensorflow as tf


def _model():
    return keras.Sequential(
        [
            keras.layers.Input([28, 28, 1]),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def trained_by_fit():
    model = _model()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.random.rand(16, 28, 28, 1), np.zeros(16), epochs=2, batch_size=8, verbose=0)


def trained_by_tape():
    w = tf.Variable(tf.random.normal([3, 1]))
    x = tf.random.normal([32, 3])
    opt = keras.optimizers.SGD(0.05)
    for _ in range(8):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - tf.reduce_sum(x, 1, keepdims=True)))
        opt.apply_gradients([(tape.gradient(loss, w), w)])


def merge_batch_and_time():
    w = tf.Variable(tf.random.normal([8, 7]))
    h = tf.matmul(tf.reshape(tf.random.normal([4, 6, 8]), [-1, 8]), w)
    labels = tf.reshape(tf.zeros([4, 6], tf.int32), [-1])
    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=h)


def heads():
    x = tf.random.normal([4, 6, 12])
    q = tf.transpose(tf.reshape(x, [4, 6, 3, 4]), [0, 2, 1, 3])
    a = tf.matmul(tf.nn.softmax(tf.matmul(q, q, transpose_b=True)), q)
    tf.reshape(tf.transpose(a, [0, 2, 1, 3]), [4, 6, 12])


def masked_attention():
    q = tf.random.normal([2, 5, 8])
    mask = tf.linalg.band_part(tf.ones([5, 5]), -1, 0)
    scores = tf.where(mask > 0, tf.matmul(q, q, transpose_b=True), -np.inf)
    tf.matmul(tf.nn.softmax(scores), q)


def safe_where():
    x = tf.Variable([0.0, 1.0, 2.0])
    with tf.GradientTape() as tape:
        y = tf.where(x > 0, tf.math.log(tf.where(x > 0, x, 1.0)), 0.0)
        loss = tf.reduce_sum(y)
    tape.gradient(loss, x)


def log_masked_without_gradient():
    x = tf.constant([0.0, 1.0])
    print(tf.reduce_sum(tf.where(x > 0, tf.math.log(x), 0.0)).numpy())


def distances():
    x = tf.Variable(tf.random.normal([6]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(x[:, None] - x))
    tape.gradient(loss, x)


@tf.function
def _step(x, w):
    return tf.reduce_mean(tf.nn.relu(tf.matmul(x, w)))


def in_a_function():
    w = tf.Variable(tf.random.normal([3, 4]))
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = _step(tf.random.normal([5, 3]), w)
        w.assign_sub(0.1 * tape.gradient(loss, w))


def gradient_of_what_is_watched():
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(x * x)
    tape.gradient(total, x)


def losses_on_probabilities():
    for loss, last in (("sparse_categorical_crossentropy", "softmax"), ("binary_crossentropy", "sigmoid")):
        units = 3 if last == "softmax" else 1
        layer = keras.layers.Dense(units, activation=last)
        model = keras.Sequential([keras.layers.Input((4,)), layer])
        model.compile("sgd", loss)
        model.fit(np.random.rand(8, 4), np.arange(8) % 2, epochs=1, verbose=0)


def normalized_layers_as_wide_as_the_batch():
    parts = [keras.Input([6]), keras.layers.Dense(8), keras.layers.LayerNormalization(), keras.layers.Dense(1)]
    model = keras.Sequential(parts)
    model.compile("adam", "mse")
    model.fit(np.random.rand(16, 6), np.random.rand(16, 1), batch_size=8, verbose=0)
