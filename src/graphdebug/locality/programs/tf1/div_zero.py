# non-finite forward: a constant feature is divided by its deviation, which is zero
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 5])
mean, variance = tf.nn.moments(x, axes=[0])
scaled = (x - mean) / tf.sqrt(variance)  # FAULT: scaled = (x - mean) / tf.sqrt(variance + 1e-6)
w = tf.Variable(tf.ones([5, 1]))
loss = tf.reduce_mean(tf.square(tf.matmul(scaled, w) - 1.0))
train = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
table = np.random.RandomState(1).randn(64, 5)
table[:, 4] = 1.0
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for epoch in range(3):
        _, value = sess.run([train, loss], feed_dict={x: table})
        print("epoch", epoch, "loss", value)
