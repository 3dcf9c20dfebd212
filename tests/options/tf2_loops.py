"""Training loops in TensorFlow 2: eager, a function, Keras."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tests.options.loop import Loop, as_it_is, nothing

NAMES = {"net/encoder/kernel", "net/encoder/bias", "net/head/kernel", "net/head/bias"}


def net():
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()
    parts = [keras.layers.Dense(8, activation="relu", name="encoder"), keras.layers.Dense(1, name="head")]
    return keras.Sequential([keras.Input((4,)), *parts], name="net")


def batches(steps, spoil, random):
    return [spoil(step, random.standard_normal((16, 4), "float32")) for step in range(steps)]


def by_hand(compiled):
    model, random = net(), np.random.default_rng(0)
    optimizer = keras.optimizers.SGD(1e-5)
    optimizer.build(model.trainable_variables)

    def update(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x)))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    run = tf.function(update, reduce_retracing=True) if compiled else update

    def train(steps, spoil=as_it_is, before=nothing):
        for step, x in enumerate(batches(steps, spoil, random)):
            before(step)
            run(tf.constant(x))

    return Loop(train, encoder="net/encoder*", relu="Relu", parameters=NAMES)


def fit():
    model, random = net(), np.random.default_rng(0)
    model.compile(keras.optimizers.SGD(1e-5), "mse")

    def train(steps, spoil=as_it_is, before=nothing):
        x = np.concatenate(batches(steps, spoil, random))

        def begin(step, logs):
            before(step)

        told = keras.callbacks.LambdaCallback(on_train_batch_begin=begin)
        y = np.zeros((len(x), 1), "float32")
        model.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0, callbacks=[told])

    return Loop(train, encoder="net/encoder*", relu="Relu", parameters=NAMES, looks_ahead=True)


LOOPS = {"eager": lambda: by_hand(compiled=False), "tf.function": lambda: by_hand(compiled=True), "fit": fit}
