# shape: an upsampled map is one row smaller than the skip connection
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
scan = tf.placeholder(tf.float32, [None, None, None, 1])
down = tf.Variable(tf.random_normal([3, 3, 1, 8], stddev=0.1))
skip = tf.nn.relu(tf.nn.conv2d(scan, down, 1, "SAME"))
low = tf.nn.max_pool2d(skip, 2, 2, "VALID")  # FAULT
up = tf.image.resize_nearest_neighbor(low, tf.shape(low)[1:3] * 2)  # FAULT: up = tf.image.resize_nearest_neighbor(low, tf.shape(skip)[1:3])
merged = tf.concat([skip, up], axis=3)  # FAULT
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print(sess.run(merged, {scan: np.random.rand(2, 45, 45, 1)}).shape)
