# dtype: a running time in microseconds goes beyond int32, and a rate becomes negative
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
rng = np.random.RandomState(0)
seconds = tf.placeholder(tf.int32, [None])
bits = tf.placeholder(tf.float32, [None, 1])
micros = seconds * 1000000  # FAULT: micros = tf.cast(seconds, tf.float64) * 1000000
rate = bits / tf.cast(micros, tf.float32)[:, None]
w, b = tf.Variable([[0.1]]), tf.Variable([0.0])
loss = tf.reduce_mean(tf.square(tf.matmul(rate, w) + b - 0.5))
train = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    feed = {seconds: rng.randint(600, 7200, 16), bits: rng.rand(16, 1) * 1e9}
    for step in range(2):
        print("step", step, "loss", sess.run([loss, train], feed)[0])
