"""Programs of Keras without a fault: data, steps and models as they are rightly made."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def batches_undone_and_made_anew():
    pairs = tf.data.Dataset.from_tensor_slices((np.random.rand(32, 6), np.random.rand(32, 1)))
    pairs = pairs.batch(8).unbatch().batch(16)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(pairs, validation_data=pairs, verbose=0)
    model.predict(np.random.rand(1, 6), verbose=0)


def model_within_a_model():
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3, padding="same"), layers.Flatten()])
    a, b = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    model = keras.Model([a, b], layers.Dense(1)(layers.concatenate([inner(a), inner(b)]) * 2.0))
    model.compile("adam", "mse")
    x = np.random.rand(16, 8, 8, 1)
    model.fit([x, x], np.random.rand(16, 1), verbose=0)


def failure_that_is_caught():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(2)])
    model.compile("adam", "mse", run_eagerly=True)
    try:
        model.fit(np.ones((4, 7)), np.ones((4, 2)), verbose=0)
    except ValueError:
        model.fit(np.random.rand(4, 8), np.random.rand(4, 2), verbose=0)


class Scaled(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = layers.Dense(3)
        self.scale = self.add_weight(shape=(3,), initializer="ones")

    def call(self, x):
        return self.head(x) * self.scale

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x) - y))
        slopes = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(slopes, self.trainable_variables, strict=True))
        return {"loss": loss}


def step_of_their_own():
    model = Scaled()
    model.compile("adam")
    model.fit(np.random.rand(16, 4), np.random.rand(16, 3), verbose=0)


def tapes_within_and_used_twice():
    a, b = tf.Variable(1.0), tf.Variable(2.0)
    with tf.GradientTape(persistent=True) as tape:
        product, total = a * b, a + b
    assert tape.gradient(product, a) is not None
    assert tape.gradient(total, b) is not None
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            cube = a * a * a
        slope = inner.gradient(cube, a)
    assert outer.gradient(slope, a) is not None


def frozen_base_under_a_new_head():
    base = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu")])
    base.trainable = False
    model = keras.Sequential([keras.Input((4,)), base, layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.random.rand(8, 4), np.random.rand(8, 1), verbose=0)


def frozen_model_that_is_only_judged():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.trainable = False
    model.compile("sgd", "mse")
    model.evaluate(np.random.rand(8, 4), np.random.rand(8, 1), verbose=0)


def layers_thawed_after_the_first_epoch():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(1)])
    model.trainable = False
    model.compile("sgd", "mse")
    thaw = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "trainable", True))
    model.fit(np.random.rand(8, 4), np.random.rand(8, 1), epochs=2, callbacks=[thaw], verbose=0)
