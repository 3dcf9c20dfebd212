# masked: `where` hides the log of zero in forward, and its gradient is NaN all the same
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
rng = np.random.RandomState(0)
data = tf.placeholder(tf.float32, [None, 6])
w = tf.Variable(rng.randn(6, 6).astype("float32"))
h = tf.nn.relu(tf.matmul(data, w))
positive = tf.greater(h, 0)
logs = tf.where(positive, tf.log(h), tf.zeros_like(h))  # FAULT: logs = tf.where(positive, tf.log(tf.where(positive, h, tf.ones_like(h))), tf.zeros_like(h))
loss = tf.reduce_mean(logs)
train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(3):
        _, value = sess.run([train, loss], {data: rng.randn(10, 6)})
        print("step", step, "loss", value)
