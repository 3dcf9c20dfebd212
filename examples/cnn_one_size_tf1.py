"""A CNN that takes 28x28 images only, in a TF1 graph whose images may have any size: it fails when it runs."""

import numpy as np
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1
tf1.disable_eager_execution()


def convolution(x, channels_in, channels_out, name):
    kernel = tf1.get_variable(f"{name}/kernel", [3, 3, channels_in, channels_out])
    return tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), 2, 2, "SAME")


images = tf1.placeholder(tf.float32, [None, None, None, 1], name="images")
labels = tf1.placeholder(tf.int64, [None], name="labels")
features = convolution(convolution(images, 1, 32, "conv1"), 32, 64, "conv2")
flat = tf.reshape(features, [tf.shape(features)[0], -1])
weights = tf1.get_variable("fc/weights", [64 * 7 * 7, 10])
logits = tf.matmul(flat, weights)
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
train = tf1.train.GradientDescentOptimizer(0.01).minimize(loss)

with graphdebug.record("cnn_one_size_tf1.jsonl"), tf1.Session() as session:
    session.run(tf1.global_variables_initializer())
    random = np.random.default_rng(0)
    for size in (28, 100):
        batch = {images: random.normal(size=(8, size, size, 1)), labels: random.integers(0, 10, 8)}
        value, _ = session.run([loss, train], batch)
        print(f"{size}x{size}: loss {value:.2f}")
