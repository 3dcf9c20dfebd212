# shape: one-hot labels are given to a sparse loss
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32)
labels = tf.placeholder(tf.int32)
logits = tf.matmul(x, tf.Variable(tf.random_normal([6, 4])))
losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)  # FAULT
classes = np.arange(12) % 4
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    one_hot = np.eye(4)[classes]  # FAULT: one_hot = classes
    print("loss", sess.run(losses, {x: np.random.rand(12, 6), labels: one_hot}).mean())  # FAULT
