"""Programs of Keras with one fault each, in layers, labels or data: ``# <- fault`` marks where it was born."""

import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def _fit(model, x, y, loss="mse"):
    model.compile("sgd", loss)
    model.fit(x, y, verbose=0)


def recurrent_layer_gives_its_last_step():
    model = keras.Sequential()
    model.add(keras.Input((10, 4)))
    model.add(layers.LSTM(8))  # <- fault: all steps are needed
    model.add(layers.LSTM(8))


def branches_of_unlike_padding():
    a, b = keras.Input((12, 12, 3)), keras.Input((12, 12, 3))
    one = layers.Conv2D(4, 3, padding="same")(a)
    two = layers.Conv2D(4, 3)(b)  # <- fault: not padded
    layers.Concatenate()([one, two])


def shortcut_without_projection():
    def block(x, width, stride):
        h = layers.Conv2D(width, 3, strides=stride, padding="same")(x)
        h = layers.ReLU()(h)
        return layers.Add()([x, h])  # <- fault: the shortcut as it was

    x = layers.Conv2D(8, 3, padding="same")(keras.Input((16, 16, 3)))
    block(block(x, 8, 1), 8, 2)


def sequence_without_features():
    model = keras.Sequential()
    model.add(keras.Input((50,)))  # <- fault: features
    model.add(layers.Conv1D(4, 3))


def batch_in_the_input_shape():
    x = np.ones([16, 8, 8, 1], "float32")
    keras.Sequential(
        [
            layers.Conv2D(4, 3, input_shape=x.shape),  # <- fault: the batch is none of it
            layers.Flatten(),
        ]
    )


def images_never_flattened():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Dense(3, activation="softmax"),  # <- fault: keeps the image
        ]
    )
    _fit(model, np.ones([8, 8, 8, 1]), np.zeros(8, int), "sparse_categorical_crossentropy")


def unbuilt_head_of_other_classes():
    model = keras.Sequential()
    model.add(layers.Dense(8, activation="relu"))
    model.add(layers.Dense(5, activation="softmax"))  # <- fault: 7 classes
    _fit(model, np.ones([8, 4]), np.eye(7)[np.arange(8) % 7], "categorical_crossentropy")


def labels_from_one():
    labels = np.arange(12) % 4 + 1  # <- fault: from 1
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="softmax")])
    _fit(model, np.ones([12, 4]), labels, "sparse_categorical_crossentropy")


def loss_for_class_numbers():
    labels = np.eye(3)[np.arange(9) % 3]
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")  # <- fault: the labels are one-hot
    model.fit(np.ones([9, 4]), labels, verbose=0)


def metric_for_class_numbers():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    wrong = ["sparse_categorical_accuracy"]
    model.compile("sgd", "categorical_crossentropy", metrics=wrong)  # <- fault: the labels are one-hot
    model.fit(np.ones([9, 4]), np.eye(3)[np.arange(9) % 3], verbose=0)


class Scores(layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[1], 1))  # <- fault: features are the last axis

    def call(self, x):
        return keras.ops.sum(keras.ops.matmul(x, self.w), axis=1)


def weight_of_the_wrong_axis():
    model = keras.Sequential([keras.Input((6, 3)), Scores()])
    model(np.ones([2, 6, 3]))


class Joined(keras.Model):
    def __init__(self):
        super().__init__()
        self.left, self.right = layers.Dense(4), layers.Dense(4)
        self.head = layers.Dense(3)

    def call(self, x):
        both = tf.concat([self.left(x), self.right(x)], axis=0)  # <- fault: axis 1
        return self.head(both)


def model_that_doubles_the_batch():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    _fit(Joined(), np.ones([8, 5]), np.zeros(8, int), loss)


class Turned(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = layers.Dense(3)

    def call(self, x):
        return self.head(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            off = self(x) - tf.transpose(y)  # <- fault: turned
            loss = tf.reduce_mean(off**2)
        slopes = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(slopes, self.trainable_variables, strict=True))
        return {"loss": loss}


def train_step_with_turned_labels():
    model = Turned()
    model.compile("sgd")
    model.fit(np.ones([8, 5]), np.ones([8, 3]), verbose=0)


def weights_of_a_wider_layer():
    def make(units):
        return keras.Sequential([keras.Input((4,)), layers.Dense(units)])

    path = os.path.join(tempfile.mkdtemp(), "own.weights.h5")
    make(8).save_weights(path)
    other = make(16)  # <- fault: 8 were saved
    other.load_weights(path)


def predict_on_one_sample():
    x = np.ones([8, 6, 6, 1])
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)])
    _fit(model, x, np.ones(8))
    model.predict(x[0], verbose=0)  # <- fault: no batch


def validation_of_another_width():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)])
    narrow = np.ones([4, 4])  # <- fault: 5 wide
    model.compile("sgd", "mse")
    model.fit(np.ones([8, 5]), np.ones([8, 1]), validation_data=(narrow, np.ones([4, 1])), verbose=0)


def fewer_labels_than_samples():
    labels = np.ones([8, 1])[:6]  # <- fault: 6 of 8
    _fit(keras.Sequential([keras.Input((5,)), layers.Dense(1)]), np.ones([8, 5]), labels)


def windows_and_what_follows_them():
    def windows(data):
        x = [data[i : i + 4] for i in range(len(data) - 4)]  # <- fault: the last are followed by too little
        y = [data[i + 4 : i + 6, 0] for i in range(len(data) - 5)]
        return np.array(x), np.array(y)

    rows, following = windows(np.ones([20, 3]))
    model = keras.Sequential([keras.Input((4, 3)), layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(rows, following, verbose=0)


def class_numbers_in_a_column():
    labels = np.arange(12).reshape(12, 1) % 3
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    model.compile(
        "sgd",
        loss="categorical_crossentropy",  # <- fault: the labels are class numbers
    )
    model.fit(np.ones([12, 4]), labels, verbose=0)


def generator_without_labels():
    def batches():
        while True:
            yield np.ones([4, 5])  # <- fault: labels

    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(batches(), steps_per_epoch=1, verbose=0)


def dataset_never_batched():
    pairs = tf.data.Dataset.from_tensor_slices((np.ones([8, 6, 6, 1]), np.ones(8)))
    pairs = pairs.shuffle(8)  # <- fault: batch
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(pairs, verbose=0)


def dataset_batched_twice():
    pairs = tf.data.Dataset.from_tensor_slices((np.ones([8, 6, 6, 1]), np.ones(8))).batch(4)
    pairs = pairs.batch(2)  # <- fault: again
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(pairs, verbose=0)


def ragged_samples_batched():
    def sentences():
        yield from ([1, 2, 3], [4, 5])

    words = tf.data.Dataset.from_generator(sentences, output_signature=tf.TensorSpec([None], tf.int32))
    words = words.batch(2)  # <- fault: of two lengths
    list(words)


def inputs_side_by_side():
    a, b = keras.Input((6,)), keras.Input((4,))
    model = keras.Model([a, b], layers.Dense(1)(layers.concatenate([a, b])))
    model.compile("sgd", "mse")
    parts = np.ones([8, 6]), np.ones([8, 4]), np.ones([8, 1])
    rows = tf.data.Dataset.from_tensor_slices(parts)  # <- fault: three parts
    model.fit(rows.batch(4), verbose=0)


def loss_for_an_unknown_output():
    x = keras.Input((4,))
    model = keras.Model(x, {"price": layers.Dense(1)(x), "age": layers.Dense(1)(x)})
    losses = {"price": "mse", "years": "mse"}  # <- fault: it is called age
    model.compile("sgd", loss=losses)
    model.fit(np.ones([4, 4]), {"price": np.ones([4, 1]), "years": np.ones([4, 1])}, verbose=0)


def optimizer_of_another_model():
    optimizer = keras.optimizers.Adam()  # <- fault: one for both
    for model in [keras.Sequential([keras.Input((3,)), layers.Dense(n)]) for n in (2, 4)]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(tf.ones([2, 3])))
        slopes = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(slopes, model.trainable_variables, strict=True))


def whole_model_frozen_for_its_new_head():
    base = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu")])
    model = keras.Sequential([keras.Input((4,)), base, layers.Dense(1)])
    for layer in model.layers:
        layer.trainable = False  # <- fault: the head, too
    _fit(model, np.random.rand(8, 4), np.random.rand(8, 1))
