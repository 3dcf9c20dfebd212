# misuse: labels count from 1 to 10 where the loss counts from 0 to 9
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
x = tf.placeholder(tf.float32, [None, 20])
y = tf.placeholder(tf.int64, [None])
w = tf.Variable(tf.random_normal([20, 10]))  # FAULT
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=tf.matmul(x, w)))  # FAULT
digits = np.arange(30) % 10 + 1  # FAULT: digits = np.arange(30) % 10
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print("loss", sess.run(loss, feed_dict={x: np.random.rand(30, 20), y: digits}))  # FAULT
