# silent fold: the accuracy compares more predictions than there are labels
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
images = tf.placeholder(tf.float32, [None, 32, 32, 1])
labels = tf.placeholder(tf.int64, [None])
kernel = tf.get_variable("kernel", [3, 3, 1, 4])
head = tf.get_variable("head", [4 * 5 * 5, 3])  # MENDED: head = tf.get_variable("head", [4 * 15 * 15, 3])
maps = tf.nn.avg_pool2d(tf.nn.conv2d(images, kernel, 1, "VALID"), 2, 2, "VALID")
flat = tf.reshape(maps, [-1, 4 * 5 * 5])  # FAULT: flat = tf.reshape(maps, [-1, 4 * 15 * 15])
predicted = tf.argmax(tf.matmul(flat, head), axis=1)
accuracy = tf.reduce_mean(tf.cast(tf.equal(predicted, labels), tf.float32))
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print("accuracy", sess.run(accuracy, {images: np.random.rand(5, 32, 32, 1), labels: [0, 1, 2, 1, 0]}))
