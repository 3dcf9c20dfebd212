# misuse: the loss is computed from class numbers, which have no gradient
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 5])
y = tf.placeholder(tf.float32, [None])
w = tf.Variable(tf.random_normal([5, 3]))
predicted = tf.cast(tf.argmax(tf.matmul(x, w), axis=1), tf.float32)  # FAULT: predicted = tf.reduce_max(tf.matmul(x, w), axis=1)
loss = tf.reduce_mean(tf.square(predicted - y))
train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print("loss", sess.run([loss, train], {x: np.random.rand(9, 5), y: np.arange(9) % 3})[0])
