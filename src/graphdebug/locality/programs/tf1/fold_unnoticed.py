# silent fold: a reshape mixes several images and nothing ever fails
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
real = tf.placeholder(tf.float32, [None, 56, 56, 3])
kernel = tf.get_variable("kernel", [3, 3, 3, 8])
score = tf.get_variable("score", [8 * 14 * 14, 1])  # MENDED: score = tf.get_variable("score", [8 * 28 * 28, 1])
maps = tf.nn.relu(tf.nn.conv2d(real, kernel, 2, "SAME"))
flat = tf.reshape(maps, [-1, 8 * 14 * 14])  # FAULT: flat = tf.reshape(maps, [-1, 8 * 28 * 28])
loss = tf.reduce_mean(tf.nn.relu(1 - tf.matmul(flat, score)))
train = tf.train.GradientDescentOptimizer(0.001).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for epoch in range(3):
        value, _ = sess.run([loss, train], {real: np.random.rand(6, 56, 56, 3)})
        print("epoch", epoch, "hinge loss", value)
