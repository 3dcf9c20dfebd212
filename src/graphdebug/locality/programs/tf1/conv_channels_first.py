# shape: a convolution is given images with the channels first
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
photos = tf.placeholder(tf.float32, shape=None)
kernel = tf.Variable(tf.random_normal([3, 3, 3, 16], stddev=0.1))
features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(photos, kernel, 1, "SAME")), axis=[1, 2])  # FAULT
batch = np.random.rand(8, 3, 64, 64)  # FAULT: batch = np.random.rand(8, 3, 64, 64).transpose(0, 2, 3, 1)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print(sess.run(features, feed_dict={photos: batch}).shape)  # FAULT
