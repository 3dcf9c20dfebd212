"""The same TF1 graph made to take images of any size, in two ways: resizing, and global pooling."""

import numpy as np
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1
tf1.disable_eager_execution()


def convolution(x, channels_in, channels_out, name):
    kernel = tf1.get_variable(f"{name}/kernel", [3, 3, channels_in, channels_out])
    return tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), 2, 2, "SAME")


images = tf1.placeholder(tf.float32, [None, None, None, 1], name="images")
resized = tf.image.resize(images, [28, 28])
features = convolution(convolution(resized, 1, 32, "a1"), 32, 64, "a2")
by_resize = tf.matmul(tf.reshape(features, [-1, 7 * 7 * 64]), tf1.get_variable("a/weights", [64 * 7 * 7, 10]))

features = convolution(convolution(images, 1, 32, "b1"), 32, 64, "b2")
pooled = tf.reduce_mean(features, axis=[1, 2])
by_pooling = tf.matmul(pooled, tf1.get_variable("b/weights", [64, 10]))

with graphdebug.record("cnn_any_size_tf1.jsonl") as run, tf1.Session() as session:
    session.run(tf1.global_variables_initializer())
    for size in (28, 100, 57):
        batch = np.random.default_rng(0).normal(size=(8, size, size, 1))
        first, second = session.run([by_resize, by_pooling], {images: batch})
        print(f"{size}x{size}: logits {first.shape} by resizing, {second.shape} by global pooling")

print(f"findings: {len(run.findings)}")
