"""Decoders of Keras whose output has other sides than its target: ``# <- fault`` marks the layer."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def _rows(*shape):
    return np.random.default_rng(0).random(shape).astype("float32")


def padded_where_one_layer_is_to_lose_the_rest():
    image = keras.Input((28, 28, 1))
    x = image
    for width in (4, 2):
        x = layers.Conv2D(width, 3, padding="same")(x)
        x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.MaxPooling2D(2, padding="same")(layers.Conv2D(2, 3, padding="same")(x))
    x = layers.UpSampling2D(2)(layers.Conv2D(2, 3, padding="same")(x))
    x = layers.UpSampling2D(2)(layers.Conv2D(2, 3, padding="same")(x))
    x = layers.Conv2D(4, 3, padding="same")(x)  # <- fault: 16 is to become 14 here
    x = layers.Conv2D(1, 3, padding="same")(layers.UpSampling2D(2)(x))
    model = keras.Model(image, x)
    model.compile("sgd", "binary_crossentropy")
    model.fit(_rows(4, 28, 28, 1), _rows(4, 28, 28, 1), verbose=0)


def stride_in_a_row_of_a_table():
    table = {
        "down": [(4, 2), (8, 2)],
        "up": [
            (8, 2),
            (4, 1),  # <- fault: the others double
        ],
    }

    class Coder(keras.Model):
        def __init__(self, rows):
            super().__init__()
            self.down = [layers.Conv2D(w, 3, strides=s, padding="same") for w, s in rows["down"]]
            self.up = [layers.Conv2DTranspose(w, 3, strides=s, padding="same") for w, s in rows["up"]]
            self.last = layers.Conv2D(1, 3, padding="same")

        def call(self, x):
            for layer in (*self.down, *self.up):
                x = layer(x)
            return self.last(x)

    model, images = Coder(table), tf.constant(_rows(2, 16, 16, 1))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x) - x))
        return tape.gradient(loss, model.trainable_variables)

    step(images)


def crop_of_less_than_was_padded():
    model = keras.Sequential([keras.Input((12, 8, 1)), layers.ZeroPadding2D(2)])
    model.add(layers.Conv2D(2, 3, padding="same"))
    model.add(layers.MaxPooling2D(2))
    model.add(layers.MaxPooling2D(2))
    model.add(layers.UpSampling2D(2))
    model.add(layers.Conv2D(2, 3, padding="same"))
    model.add(layers.UpSampling2D(2))
    model.add(layers.Cropping2D(1))  # <- fault: two were added on each side
    model.add(layers.Conv2D(1, 3, padding="same"))
    model.compile("sgd", "mse")
    model.fit(_rows(4, 12, 8, 1), _rows(4, 12, 8, 1), verbose=0)


def code_repeated_too_few_times():
    steps = 6
    model = keras.Sequential([keras.Input((steps, 2)), layers.LSTM(3)])
    model.add(layers.RepeatVector(3))  # <- fault: there are six steps
    model.add(layers.LSTM(3, return_sequences=True))
    model.add(layers.TimeDistributed(layers.Dense(2)))
    model.compile("sgd", "mse")
    model.fit(_rows(4, steps, 2), _rows(4, steps, 2), verbose=0)


def way_up_with_one_step_too_few():
    image = keras.Input((16, 16, 3))
    one = layers.Conv2D(4, 3, padding="same")(image)
    two = layers.Conv2D(4, 3, padding="same")(layers.MaxPooling2D()(one))
    low = layers.Conv2D(4, 3, padding="same")(layers.MaxPooling2D()(two))
    up = layers.Concatenate()([layers.UpSampling2D()(low), two])
    out = layers.Conv2D(3, 1, activation="softmax")(up)  # <- fault: nothing doubled once more before it
    model = keras.Model(image, out)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(_rows(4, 16, 16, 3), np.zeros([4, 16, 16, 1], "int32"), verbose=0)


def side_for_another_image():
    side = 28 // 4  # <- fault: the images are of 32
    code = keras.Input((4,))
    x = layers.Reshape((side, side, 2))(layers.Dense(side * side * 2)(code))
    x = layers.Conv2DTranspose(2, 3, strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(1, 3, strides=2, padding="same")(x)
    model = keras.Model(code, x)
    model.compile("sgd", "mse")
    model.fit(_rows(4, 4), _rows(4, 32, 32, 1), verbose=0)


def every_step_kept_before_a_plain_layer():
    model = keras.Sequential([keras.Input((5, 2)), layers.LSTM(3, return_sequences=True)])
    model.add(layers.LSTM(3, return_sequences=True))  # <- fault: one answer a sample is due
    model.add(layers.Dropout(0.1))
    model.add(layers.Dense(2, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(_rows(4, 5, 2), np.zeros([4], "int32"), verbose=0)


def labels_encoded_once_more_by_the_pipeline():
    labels = keras.utils.to_categorical([0, 1, 2, 1], 3)

    def encode(row, label):
        return row, tf.one_hot(tf.cast(label, tf.int32), 3)  # <- fault: they are one-hot already

    data = tf.data.Dataset.from_tensor_slices((_rows(4, 5), labels)).map(encode).batch(2)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    model.fit(data, verbose=0)


def channels_first_out_of_a_loader():
    def load(count):
        flat = np.zeros([count, 3 * 16 * 16], "uint8")
        rows = flat.reshape(-1, 3, 16, 16)  # <- fault: its last axis is to hold the channels
        return rows.astype("float32") / 255, np.zeros([count], "int32")

    images, labels = load(6)
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, labels, verbose=0)
