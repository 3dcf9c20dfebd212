# shape: a matrix product is given a vector, so that the graph can't be built
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
sample = tf.placeholder(tf.float32, [7])  # FAULT: sample = tf.placeholder(tf.float32, [1, 7])
weights = tf.Variable(tf.random_normal([7, 3]))
scores = tf.matmul(sample, weights)  # FAULT
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print(sess.run(scores, {sample: np.random.rand(1, 7)}).shape)
