# shape: an array is fed whose shape is not the placeholder's
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 784], name="x")  # FAULT
w = tf.Variable(tf.zeros([784, 10]))
logits = tf.matmul(x, w)
batch = np.random.rand(16, 28, 28)  # FAULT: batch = np.random.rand(16, 28, 28).reshape(16, 784)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print(sess.run(logits, {x: batch}).shape)  # FAULT
