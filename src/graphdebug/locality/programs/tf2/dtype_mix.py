# dtype: float64 data from numpy meets float32 weights
import numpy as np
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([4, 1], seed=[1, 1]))


# COMPILED: @tf.function
def predict(inputs):
    return tf.matmul(inputs, w)  # FAULT


data = np.random.default_rng(0).normal(size=(50, 4))
inputs = tf.constant(data)  # FAULT: inputs = tf.constant(data, tf.float32)
print("mean", float(tf.reduce_mean(predict(inputs))))
