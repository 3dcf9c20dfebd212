# divergence: a learning rate too large, the loss grows until it overflows
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
rng = np.random.RandomState(0)
x = tf.placeholder(tf.float32, [None, 3])
y = tf.placeholder(tf.float32, [None, 1])
w, b = tf.Variable(tf.zeros([3, 1])), tf.Variable(tf.zeros([1]))
loss = tf.reduce_mean(tf.square(tf.matmul(x, w) + b - y))
train = tf.train.GradientDescentOptimizer(1.0).minimize(loss)  # FAULT: train = tf.train.GradientDescentOptimizer(0.001).minimize(loss)
data = rng.randn(100, 3) * 10
target = data @ [[1.0], [-2.0], [0.5]] + 3
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for epoch in range(30):
        _, value = sess.run([train, loss], {x: data, y: target})
        if epoch % 5 == 4:
            print("epoch", epoch, "loss", value)
