# shape: a weight matrix is declared with the batch size as its width
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
batch_size, features, hidden = 64, 20, 32
x = tf.placeholder(tf.float32)
y = tf.placeholder(tf.float32)
w1 = tf.Variable(tf.random_normal([batch_size, hidden]))  # FAULT: w1 = tf.Variable(tf.random_normal([features, hidden]))
w2 = tf.Variable(tf.random_normal([hidden, 1]))
h = tf.tanh(tf.matmul(x, w1))  # FAULT
loss = tf.reduce_mean(tf.square(tf.matmul(h, w2) - y))
train = tf.train.GradientDescentOptimizer(0.001).minimize(loss)
data = np.random.randn(batch_size, features)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for epoch in range(2):
        print(sess.run([loss, train], {x: data, y: data.sum(1, keepdims=True)})[0])
