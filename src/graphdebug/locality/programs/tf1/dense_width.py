# shape: a CNN for 28x28 images is fed 100x100
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
tf.set_random_seed(0)
x = tf.placeholder(tf.float32, [None, None, None, 1], name="x")
y = tf.placeholder(tf.int64, [None], name="y")


def weight(*shape):
    return tf.Variable(tf.truncated_normal(shape, stddev=0.1))


def conv_pool(h, w):
    h = tf.nn.relu(tf.nn.conv2d(h, w, strides=[1, 1, 1, 1], padding="SAME"))
    return tf.nn.max_pool2d(h, 2, 2, "SAME")


h = conv_pool(x, weight(5, 5, 1, 16))
h = conv_pool(h, weight(5, 5, 16, 32))
flat = tf.reshape(h, tf.stack([tf.shape(h)[0], tf.reduce_prod(tf.shape(h)[1:])]))
w_fc = weight(7 * 7 * 32, 10)  # FAULT: w_fc = weight(25 * 25 * 32, 10)
logits = tf.matmul(flat, w_fc)  # FAULT
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
train = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(2):
        images = np.random.rand(4, 100, 100, 1)
        _, value = sess.run([train, loss], {x: images, y: [1, 7, 0, 3]})
        print("step", step, "loss", value)
