# non-finite forward: a hand-written cross entropy takes the log of 1 - p where p has become 1
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
x = tf.placeholder(tf.float32, [None, 2])
y = tf.placeholder(tf.float32, [None, 1])
w = tf.Variable([[1.0], [1.0]])
p = tf.sigmoid(tf.matmul(x, w))  # MENDED: p = tf.clip_by_value(tf.sigmoid(tf.matmul(x, w)), 1e-6, 1 - 1e-6)
cost = -tf.reduce_mean(y * tf.log(p) + (1 - y) * tf.log(1 - p))  # FAULT
train = tf.train.GradientDescentOptimizer(0.1).minimize(cost)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for epoch in range(2):
        feed = {x: [[0.5, 0.2], [40.0, 30.0], [-1.0, 0.4]], y: [[1.0], [1.0], [0.0]]}
        print("epoch", epoch, "cost", sess.run([cost, train], feed)[0])
