# broadcast: predictions of shape (N, 1) against targets of shape (N,)
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
rng = np.random.RandomState(0)
x = tf.placeholder(tf.float32, [None, 3])
y = tf.placeholder(tf.float32, [None])  # FAULT: y = tf.placeholder(tf.float32, [None, 1])
w = tf.Variable(rng.randn(3, 1).astype("float32"))
loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))  # FAULT
train = tf.train.GradientDescentOptimizer(0.05).minimize(loss)
data = rng.randn(40, 3)
target = data.sum(axis=1)  # FAULT: target = data.sum(axis=1, keepdims=True)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for epoch in range(3):
        print("epoch", epoch, "loss", sess.run([loss, train], {x: data, y: target})[0])
