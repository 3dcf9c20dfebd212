# shape: VALID padding where the dense layer assumes SAME
import tensorflow as tf

k1 = tf.Variable(tf.random.stateless_normal([5, 5, 1, 8], seed=[1, 1]) * 0.1)
k2 = tf.Variable(tf.random.stateless_normal([5, 5, 8, 16], seed=[1, 2]) * 0.1)
w = tf.Variable(tf.random.stateless_normal([16 * 7 * 7, 10], seed=[1, 3]) * 0.05)  # FAULT


# COMPILED: @tf.function
def digits(x):
    x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, k1, 1, padding="VALID")), 2, 2, "VALID")  # FAULT: x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, k1, 1, padding="SAME")), 2, 2, "VALID")
    x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, k2, 1, padding="VALID")), 2, 2, "VALID")  # FAULT: x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, k2, 1, padding="SAME")), 2, 2, "VALID")
    x = tf.reshape(x, [x.shape[0], -1])
    return tf.matmul(x, w)  # FAULT


print(digits(tf.random.stateless_uniform([5, 28, 28, 1], seed=[2, 1])).shape)
