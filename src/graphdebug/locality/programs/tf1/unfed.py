# misuse: the summaries are run without the feed they need
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 2], name="inputs")
w = tf.Variable(tf.zeros([2, 1]))
loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - 1))
tf.summary.scalar("loss", loss)
summaries = tf.summary.merge_all()
train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(2):
        sess.run(train, feed_dict={x: np.ones([4, 2])})
        text = sess.run(summaries)  # FAULT: text = sess.run(summaries, feed_dict={x: np.ones([4, 2])})
        print(step, len(text))
