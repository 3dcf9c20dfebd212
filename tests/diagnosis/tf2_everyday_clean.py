"""Right programs that look much like those of tf2_everyday: none may be accused."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def _drawn(*shape):
    return tf.Variable(tf.random.normal(shape, stddev=0.1))


def _loss(weight, rows):
    return tf.reduce_mean((rows @ weight - rows[:, :1]) ** 2)


def sums_of_gradients_begun_anew():
    weight, rows, sgd = _drawn(4, 1), tf.random.normal([8, 4]), keras.optimizers.SGD(0.01)
    total, sums = tf.Variable(tf.zeros([4, 1]), trainable=False), None
    for at in range(16):
        with tf.GradientTape(persistent=True) as tape:
            loss = _loss(weight, rows)
        total.assign_add(tape.gradient(loss, weight))
        sums = tape.gradient(loss, weight) if sums is None else sums + tape.gradient(loss, weight)
        if at % 2:
            sgd.apply_gradients([(total, weight)])
            sgd.apply_gradients([(sums, weight)])
            total.assign(tf.zeros_like(total))
            sums = None


def momentum_and_adagrad_by_hand():
    weight, rows = _drawn(4, 1), tf.random.normal([8, 4])
    speed, squares, steps = (tf.Variable(tf.zeros([4, 1])) for _ in range(3))
    for _ in range(8):
        with tf.GradientTape() as tape:
            loss = _loss(weight, rows)
        slope = tape.gradient(loss, weight)
        speed.assign(0.9 * speed + slope)
        squares.assign_add(slope**2)
        steps.assign_add(tf.ones_like(slope))
        weight.assign_sub(0.01 * speed + 0.01 * slope / tf.sqrt(squares + 1e-6) / steps)


def straight_through_rounding():
    weight, rows = _drawn(4, 1), tf.random.normal([8, 4])
    for _ in range(4):
        with tf.GradientTape() as tape:
            given = rows @ weight
            whole = given + tf.stop_gradient(tf.round(given) - given)
            hit = tf.cast(tf.argmax(rows, 1) == 0, tf.float32)
            loss = tf.reduce_mean(hit[:, None] * (whole - rows[:, :1]) ** 2)
        weight.assign_sub(0.1 * tape.gradient(loss, weight))


def variables_of_one_name():
    weights = [_drawn(4, 4) for _ in range(3)]
    rows = tf.random.normal([8, 4])
    for _ in range(5):
        with tf.GradientTape() as tape:
            given = rows
            for weight in weights:
                given = tf.tanh(given @ weight)
            loss = tf.reduce_mean((given - rows) ** 2)
        for weight, slope in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign_sub(0.05 * slope)


def total_that_is_a_plain_tensor():
    weight, rows, total = _drawn(4, 1), tf.random.normal([8, 4]), tf.constant(0.0)
    for _ in range(6):
        with tf.GradientTape() as tape:
            loss = _loss(weight, rows)
        weight.assign_sub(0.1 * tape.gradient(loss, weight))
        total = total + loss
    float(total)


def labels_for_each_step():
    model = keras.Sequential(
        [layers.Input((7,)), layers.Embedding(20, 6), layers.LSTM(5, return_sequences=True)]
    )
    model.add(layers.Dense(3))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    ids = np.random.default_rng(0).integers(0, 20, [8, 7])
    model.fit(ids, ids % 3, verbose=0)


def ways_joined_along_time():
    inputs = layers.Input((8, 3))
    ways = [layers.Conv1D(4, side)(inputs) for side in (1, 3)]
    given = layers.Dense(1)(layers.GlobalAveragePooling1D()(layers.Concatenate(axis=1)(ways)))
    model = keras.Model(inputs, given)
    model.compile("sgd", "mse")
    rows = np.random.default_rng(0).normal(size=(8, 8, 3))
    model.fit(rows, rows[:, 0, :1], verbose=0)


def _fitted(model, training, steps=6):
    rows, sgd = tf.random.normal([16, 4]), keras.optimizers.SGD(0.05)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(rows, training=training) - rows[:, :1]) ** 2)
        slopes = tape.gradient(loss, model.trainable_variables)
        sgd.apply_gradients(zip(slopes, model.trainable_variables, strict=True))
    float(tf.reduce_mean(model(rows)))


def norm_and_dropout_in_training():
    parts = [layers.Dense(6), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(1)]
    _fitted(keras.Sequential([layers.Input((4,)), *parts]), training=True)


def frozen_norm_below_a_new_head():
    below = keras.Sequential([layers.Input((4,)), layers.Dense(6), layers.BatchNormalization()])
    below.trainable = False
    inputs = layers.Input((4,))
    model = keras.Model(inputs, layers.Dense(1)(below(inputs, training=False)))
    _fitted(model, training=True)


def model_without_layers_that_ask():
    _fitted(
        keras.Sequential([layers.Input((4,)), layers.Dense(6), layers.Dropout(0.0), layers.Dense(1)]), False
    )
