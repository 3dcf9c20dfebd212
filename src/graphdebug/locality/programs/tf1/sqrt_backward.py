# non-finite backward: the derivative of a square root at zero
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
rng = np.random.RandomState(0)
a = tf.placeholder(tf.float32, [None, 4])
p = tf.placeholder(tf.float32, [None, 4])
w = tf.Variable(rng.randn(4, 8).astype("float32"))
squared = tf.reduce_sum(tf.square(tf.matmul(a, w) - tf.matmul(p, w)), axis=1)
distance = tf.sqrt(squared)  # FAULT: distance = tf.sqrt(squared + 1e-8)
loss = tf.reduce_mean(distance)
train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
anchor, positive = rng.randn(6, 4), rng.randn(6, 4)
positive[2] = anchor[2]
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(3):
        _, value = sess.run([train, loss], {a: anchor, p: positive})
        print("step", step, "loss", value)
