# misuse: an op is made in the loop after the graph was frozen
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 3])
w = tf.Variable(tf.ones([3, 1]))
output = tf.matmul(x, w)
mean = tf.reduce_mean(output)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    tf.get_default_graph().finalize()  # FAULT
    for step in range(2):
        score = tf.reduce_mean(output)  # FAULT: score = mean
        print(step, sess.run(score, {x: np.ones([2, 3])}))
