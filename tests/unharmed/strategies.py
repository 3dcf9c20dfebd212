"""Twenty steps on several replicas; the process decides which strategy it is given."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

STEPS = 20


def mirrored():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def by_hand(strategy):
    def train(_folder):
        with strategy.scope():
            w = tf.Variable(tf.ones([3, 2]), name="w")

        @tf.function
        def step(x):
            def replica(x):
                with tf.GradientTape() as tape:
                    loss = tf.reduce_sum(tf.square(tf.matmul(x, w)))
                grad = tape.gradient(loss, w)
                w.assign_sub(0.01 * tf.distribute.get_replica_context().all_reduce("sum", grad))
                return loss

            return strategy.reduce("sum", strategy.run(replica, args=(x,)), axis=None)

        found = [step(tf.ones([4, 3]) * (number + 1)).numpy() for number in range(STEPS)]
        return found, [one.numpy() for one in strategy.experimental_local_results(w)]

    return train


def fit(strategy):
    def train(_folder):
        keras.utils.set_random_seed(1)
        random = np.random.default_rng(0)
        x, y = random.random((160, 4), "float32"), random.random((160, 1), "float32")
        with strategy.scope():
            net = keras.Sequential([keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(1)])
            net.compile(keras.optimizers.SGD(0.01), "mse")
        return net.fit(x, y, batch_size=8, verbose=0, shuffle=False).history["loss"], net.get_weights()

    return train


def on_two_cpus():
    """The modes of `MirroredStrategy`, in a process that has not used TensorFlow yet."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = mirrored()
    return {"by hand": by_hand(strategy), "fit": fit(strategy)}


def of_two_workers():
    """The modes of `MultiWorkerMirroredStrategy`, in a process whose TF_CONFIG names both workers."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return {"by hand": by_hand(strategy)}
