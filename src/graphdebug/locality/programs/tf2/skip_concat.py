# shape: an upsampled map is one row smaller than the skip connection
import tensorflow as tf

down = tf.Variable(tf.random.stateless_normal([3, 3, 1, 8], seed=[1, 1]) * 0.1)


# COMPILED: @tf.function
def unet(scan):
    skip = tf.nn.relu(tf.nn.conv2d(scan, down, 1, "SAME"))
    low = tf.nn.max_pool2d(skip, 2, 2, "VALID")  # FAULT
    up = tf.repeat(tf.repeat(low, 2, axis=1), 2, axis=2)  # FAULT: up = tf.image.resize(low, [45, 45])
    return tf.concat([skip, up], axis=3)  # FAULT


print(unet(tf.random.stateless_uniform([2, 45, 45, 1], seed=[2, 2])).shape)
