# target: a Keras model is told the loss for one-hot labels and trained with class numbers
import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(0)
model = tf.keras.Sequential([tf.keras.Input((12,)), tf.keras.layers.Dense(4, activation="softmax")])
model.compile("sgd", loss="categorical_crossentropy")  # FAULT: model.compile("sgd", loss="sparse_categorical_crossentropy")
data = np.random.rand(32, 12)
kinds = np.random.randint(0, 4, 32)
print(model.fit(data, kinds, batch_size=8, verbose=0).history["loss"])
