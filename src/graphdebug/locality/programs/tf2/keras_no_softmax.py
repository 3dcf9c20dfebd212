# loss: a Keras model ends in plain scores, and its loss takes probabilities
import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(0)
model = tf.keras.Sequential(
    [
        tf.keras.Input((12,)),
        tf.keras.layers.Dense(8, activation="relu"),
        tf.keras.layers.Dense(4),  # FAULT: tf.keras.layers.Dense(4, activation="softmax"),
    ]
)
model.compile("adam", loss="sparse_categorical_crossentropy")  # FAULT
data, kinds = np.random.rand(32, 12), np.random.randint(0, 4, 32)
print(model.fit(data, kinds, batch_size=8, verbose=0).history["loss"])
