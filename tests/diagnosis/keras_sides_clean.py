"""Right programs of Keras in the forms of those in keras_sides.py: none is to be accused."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def _rows(*shape):
    return np.random.default_rng(0).random(shape).astype("float32")


def decoder_that_loses_the_rest():
    image = keras.Input((28, 28, 1))
    x = image
    for width in (4, 2, 2):
        x = layers.MaxPooling2D(2, padding="same")(layers.Conv2D(width, 3, padding="same")(x))
    x = layers.UpSampling2D(2)(layers.Conv2D(2, 3, padding="same")(x))
    x = layers.UpSampling2D(2)(layers.Conv2D(2, 3, padding="same")(x))
    x = layers.UpSampling2D(2)(layers.Conv2D(4, 3)(x))
    model = keras.Model(image, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x))
    model.compile("sgd", "binary_crossentropy")
    model.fit(_rows(8, 28, 28, 1), _rows(8, 28, 28, 1), batch_size=2, verbose=0)


def labels_encoded_by_the_pipeline():
    def encode(row, label):
        return row, tf.one_hot(label, 3)

    data = tf.data.Dataset.from_tensor_slices((_rows(16, 5), np.arange(16) % 3)).map(encode).batch(2)
    model = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(3, activation="softmax")])
    model.compile("adam", "categorical_crossentropy")
    model.fit(data, verbose=0)


def layers_called_by_their_second_names():
    for _ in range(2):  # the second model's layers and variables are numbered
        model = keras.Sequential([layers.Dense(4, activation="tanh"), layers.Dense(3), layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(_rows(16, 5), _rows(16, 1), batch_size=2, verbose=0)
