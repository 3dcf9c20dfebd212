# shape: VALID padding where the dense layer assumes SAME
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 784])
image = tf.reshape(x, [-1, 28, 28, 1])
k1 = tf.Variable(tf.truncated_normal([5, 5, 1, 8], stddev=0.1))
k2 = tf.Variable(tf.truncated_normal([5, 5, 8, 16], stddev=0.1))
w = tf.Variable(tf.truncated_normal([7 * 7 * 16, 10], stddev=0.1))  # FAULT
h = tf.nn.relu(tf.nn.conv2d(image, k1, strides=[1, 1, 1, 1], padding="VALID"))  # FAULT: h = tf.nn.relu(tf.nn.conv2d(image, k1, strides=[1, 1, 1, 1], padding="SAME"))
h = tf.nn.max_pool2d(h, 2, 2, "VALID")
h = tf.nn.relu(tf.nn.conv2d(h, k2, strides=[1, 1, 1, 1], padding="VALID"))  # FAULT: h = tf.nn.relu(tf.nn.conv2d(h, k2, strides=[1, 1, 1, 1], padding="SAME"))
h = tf.nn.max_pool2d(h, 2, 2, "VALID")
logits = tf.matmul(tf.reshape(h, tf.stack([tf.shape(h)[0], tf.reduce_prod(tf.shape(h)[1:])])), w)  # FAULT
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print(sess.run(logits, feed_dict={x: np.random.rand(5, 784)}).shape)
