# non-finite forward: the logarithm of a saturated softmax
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
rng = np.random.RandomState(0)
x = tf.placeholder(tf.float32, [None, 10])
targets = tf.placeholder(tf.float32, [None, 3])
w = tf.Variable(rng.randn(10, 3).astype("float32"))
b = tf.Variable(tf.zeros([3]))
probabilities = tf.nn.softmax(tf.matmul(x, w) + b)
loss = -tf.reduce_mean(tf.reduce_sum(targets * tf.log(probabilities), axis=1))  # FAULT: loss = -tf.reduce_mean(tf.reduce_sum(targets * tf.log(probabilities + 1e-8), axis=1))
train = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(4):
        scale = 1.0 if step < 2 else 500.0
        feed = {x: rng.randn(32, 10) * scale, targets: np.eye(3)[rng.randint(0, 3, 32)]}
        print("step", step, "loss", sess.run([loss, train], feed)[0])
