"""A program that puts its default graph away after it has begun to build."""

import tensorflow as tf

v1 = tf.compat.v1


def build():
    x = v1.placeholder(tf.float32, [None, 4])
    v1.reset_default_graph()  # <- fault: what was made before is of the old graph
    w = v1.get_variable("w", [4, 2])
    return tf.matmul(x, w)
