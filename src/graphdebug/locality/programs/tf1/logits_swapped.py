# gradient: labels and logits are swapped, so that no gradient reaches the weights
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 6])
y = tf.placeholder(tf.float32, [None, 3])
logits = tf.matmul(x, tf.Variable(tf.random_normal([6, 3])))
loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.stop_gradient(logits), logits=y))  # FAULT: loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits))
train = tf.train.AdamOptimizer().minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print(sess.run([train, loss], {x: np.random.rand(5, 6), y: np.eye(3)[[0, 1, 2, 0, 1]]})[1])
