# shape: a convolution is given images with the channels first
import tensorflow as tf

kernel = tf.Variable(tf.random.stateless_normal([3, 3, 3, 16], seed=[1, 2]) * 0.1)


# COMPILED: @tf.function
def features(images):
    return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME")), axis=[1, 2])  # FAULT


photos = tf.random.stateless_uniform([8, 3, 64, 64], seed=[3, 4])  # FAULT: photos = tf.transpose(tf.random.stateless_uniform([8, 3, 64, 64], seed=[3, 4]), [0, 2, 3, 1])
print(features(photos).shape)
