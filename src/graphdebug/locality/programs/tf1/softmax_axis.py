# wrong axis: the softmax runs over the batch, and nothing fails
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
rng = np.random.RandomState(0)
states = tf.placeholder(tf.float32, [None, 4])
taken = tf.placeholder(tf.int32, [None])
w = tf.Variable(rng.randn(4, 3).astype("float32"))
policy = tf.nn.softmax(tf.matmul(states, w), axis=0)  # FAULT: policy = tf.nn.softmax(tf.matmul(states, w), axis=1)
chosen = tf.reduce_sum(policy * tf.one_hot(taken, 3), axis=1)
loss = -tf.reduce_mean(tf.log(chosen))
train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(3):
        feed = {states: rng.randn(20, 4), taken: np.arange(20) % 3}
        print("step", step, "loss", sess.run([loss, train], feed)[0])
