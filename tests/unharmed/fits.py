"""Twenty steps of Keras training, on the backend that Keras was started with."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

X = np.random.default_rng(0).random((80, 8, 8, 2)).astype("float32")
Y = np.random.default_rng(0).integers(0, 3, 80)


def model(kind=keras.Model):
    keras.utils.set_random_seed(1)
    keras.backend.clear_session()
    image = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    return kind(image, layers.Dense(3)(x))


def state(net):
    return [*net.get_weights(), *map(keras.ops.convert_to_numpy, net.optimizer.variables)]


def fit(kind=keras.Model, **options):
    def train(_folder):
        net = model(kind)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(0.01), loss, **options)
        return net.fit(X, Y, batch_size=8, epochs=2, verbose=0).history["loss"], state(net)

    return train


class TapeStep(keras.Model):
    """A train step of the user's own, for TensorFlow."""

    def train_step(self, batch):
        import tensorflow as tf

        x, y = batch
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


class BackwardStep(keras.Model):
    """A train step of the user's own, for PyTorch."""

    def train_step(self, batch):
        x, y = batch
        self.zero_grad()
        loss = self.compute_loss(x, y, self(x, training=True))
        loss.backward()
        self.optimizer.apply([one.value.grad for one in self.trainable_weights], self.trainable_weights)
        return {"loss": loss}


def train_on_batch(_folder):
    net = model()
    net.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    found = [net.train_on_batch(X[at : at + 4], Y[at : at + 4]) for at in range(0, 80, 4)]
    return found, state(net)


ON_TENSORFLOW = {
    "fit": fit(),
    "fit, run_eagerly": fit(run_eagerly=True),
    "fit, jit_compile": fit(jit_compile=True),
    "fit, a train_step of the user's": fit(TapeStep),
    "fit, a train_step of the user's, run_eagerly": fit(TapeStep, run_eagerly=True),
    "train_on_batch": train_on_batch,
}
ON_TORCH = {
    "fit": fit(),
    "fit, run_eagerly": fit(run_eagerly=True),
    "fit, a train_step of the user's": fit(BackwardStep),
    "train_on_batch": train_on_batch,
}
