# silent fold: a network for 28x28 images that ends in a reshape to a fixed width is fed 100x100
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()


def weight(shape):
    return tf.Variable(tf.truncated_normal(shape, stddev=0.1, seed=0))


def layer(h, w):
    h = tf.nn.relu(tf.nn.conv2d(h, w, strides=[1, 1, 1, 1], padding="SAME"))
    return tf.nn.max_pool2d(h, ksize=2, strides=2, padding="SAME")


x = tf.placeholder(tf.float32, [None, None, None, 1], name="images")
y = tf.placeholder(tf.int64, [None], name="labels")
h1 = layer(x, weight([5, 5, 1, 32]))
h2 = layer(h1, weight([5, 5, 32, 64]))
flat = tf.reshape(h2, [-1, 7 * 7 * 64])  # FAULT
logits = tf.matmul(flat, weight([7 * 7 * 64, 10]))
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
train = tf.train.GradientDescentOptimizer(0.01).minimize(loss)

rng = np.random.RandomState(0)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for side in (28, 100):
        feed = {x: rng.rand(49, side, side, 1), y: rng.randint(0, 10, 49)}
        _, value = sess.run([train, loss], feed_dict=feed)
        print(f"{side}x{side}: loss {value:.4f}")
