# shape: a CNN for 28x28 images with every size declared, so that the graph can't be built
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [4, 100, 100, 1])
kernel = tf.Variable(tf.truncated_normal([5, 5, 1, 16], stddev=0.1))
h = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), 4, 4, "SAME")
flat = tf.reshape(h, [4, -1])
w = tf.Variable(tf.truncated_normal([7 * 7 * 16, 10]))  # FAULT: w = tf.Variable(tf.truncated_normal([25 * 25 * 16, 10]))
logits = tf.matmul(flat, w)  # FAULT
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print(sess.run(logits, {x: np.random.rand(4, 100, 100, 1)}).shape)
