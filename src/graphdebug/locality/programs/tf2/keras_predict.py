# shape: a trained Keras model is asked about data with one column more
import numpy as np
import tensorflow as tf

tf.keras.utils.set_random_seed(0)
model = tf.keras.Sequential([tf.keras.Input((12,)), tf.keras.layers.Dense(1)])
model.compile("adam", loss="mse")
model.fit(np.random.rand(32, 12), np.random.rand(32), batch_size=8, verbose=0)
more = np.random.rand(5, 13)  # FAULT: more = np.random.rand(5, 12)
print(model.predict(more, verbose=0).shape)  # FAULT
