# AMP: a sum of squares overflows half precision
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
rng = np.random.RandomState(0)
x = tf.placeholder(tf.float32, [None, 64])
w = tf.Variable(rng.randn(64, 256).astype("float32"))
h = tf.cast(tf.matmul(x, w), tf.float16)  # FAULT: h = tf.matmul(x, w)
norm = tf.reduce_sum(h * h, axis=1, keepdims=True)  # FAULT
features = tf.cast(h, tf.float32) / tf.cast(norm, tf.float32)
loss = tf.reduce_mean(tf.square(features - 0.1))
train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(2):
        print("loss", sess.run([loss, train], {x: rng.randn(8, 64) * 10})[0])
