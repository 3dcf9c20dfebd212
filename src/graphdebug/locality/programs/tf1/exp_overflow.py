# non-finite forward: log(1 + exp(a)) overflows in exp
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
rng = np.random.RandomState(0)
x = tf.placeholder(tf.float32, [None, 3])
signs = tf.placeholder(tf.float32, [None, 1])
w = tf.Variable([[0.3], [-0.2], [0.7]])
margins = -signs * tf.matmul(x, w)
loss = tf.reduce_mean(tf.log(1 + tf.exp(margins)))  # FAULT: loss = tf.reduce_mean(tf.nn.softplus(margins))
train = tf.train.GradientDescentOptimizer(0.001).minimize(loss)
data = rng.randn(20, 3) * [1, 1, 500]
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(3):
        value, _ = sess.run([loss, train], {x: data, signs: np.sign(rng.randn(20, 1))})
        print("step", step, "loss", value)
