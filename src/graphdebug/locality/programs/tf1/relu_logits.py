# learns badly: the last layer, too, has a relu, so that no score can be negative
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
rng = np.random.RandomState(0)
x = tf.placeholder(tf.float32, [None, 8])
y = tf.placeholder(tf.int64, [None])
hidden = tf.nn.relu(tf.matmul(x, tf.Variable(rng.randn(8, 16).astype("float32"))))
scores = tf.nn.relu(tf.matmul(hidden, tf.Variable(rng.randn(16, 4).astype("float32"))))  # FAULT: scores = tf.matmul(hidden, tf.Variable(rng.randn(16, 4).astype("float32")))
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=scores))
train = tf.train.GradientDescentOptimizer(0.05).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(4):
        print("step", step, "loss", sess.run([loss, train], {x: rng.rand(20, 8), y: rng.randint(0, 4, 20)})[0])
