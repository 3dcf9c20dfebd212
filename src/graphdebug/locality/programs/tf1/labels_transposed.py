# shape: soft labels are fed with a row a class
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 12])
y = tf.placeholder(tf.float32, [None, None])
logits = tf.matmul(x, tf.Variable(tf.random_normal([12, 5])))
loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits_v2(labels=y, logits=logits))  # FAULT
soft = np.random.dirichlet(np.ones(5), size=32).T  # FAULT: soft = np.random.dirichlet(np.ones(5), size=32)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print("loss", sess.run(loss, {x: np.random.randn(32, 12), y: soft}))  # FAULT
