# misuse: the init op was made before the optimizer made its slots
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 2])
w = tf.Variable(tf.zeros([2, 1]))
loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - 1))
init = tf.global_variables_initializer()  # FAULT: init = None
train = tf.train.AdamOptimizer(0.01).minimize(loss)
with tf.Session() as sess:
    sess.run(init)  # MENDED: sess.run(tf.global_variables_initializer())
    for step in range(2):
        print(sess.run([loss, train], {x: np.ones([4, 2])})[0])
