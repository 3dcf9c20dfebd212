"""Right programs with Keras that look much like those of keras_everyday: none may be accused."""

import keras
import numpy as np
from keras import layers


def relu_for_labels_from_zero_on():
    rows = np.random.default_rng(0).random([60, 4])
    model = keras.Sequential(
        [layers.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(1, activation="softplus")]
    )
    model.compile("sgd", "mse")
    model.fit(rows, rows.sum(1), batch_size=10, epochs=2, verbose=0)


def sigmoid_for_labels_of_zero_and_one():
    rows = np.random.default_rng(0).normal(size=(60, 4))
    model = keras.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "mse")
    model.fit(rows, (rows[:, 0] > 0) * 1.0, batch_size=10, epochs=2, verbose=0)


def images_of_ones_that_are_meant():
    images = np.ones([40, 6, 6, 1], "float32")
    model = keras.Sequential([layers.Input((6, 6, 1)), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(images, np.linspace(0, 1, 40), batch_size=10, epochs=2, verbose=0)
