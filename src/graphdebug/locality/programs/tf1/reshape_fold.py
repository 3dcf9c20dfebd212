# silent fold: a reshape to a fixed width turns 4 images into 64 rows and the loss fails
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
images = tf.placeholder(tf.float32, [None, None, None, 1])
labels = tf.placeholder(tf.int32, [None])
kernel = tf.get_variable("kernel", [3, 3, 1, 16])
weights = tf.get_variable("weights", [16 * 7 * 7, 10])  # MENDED: weights = tf.get_variable("weights", [16 * 28 * 28, 10])
net = tf.nn.relu(tf.nn.conv2d(images, kernel, 2, "SAME"))
net = tf.nn.max_pool2d(net, 2, 2, "SAME")
net = tf.reshape(net, [-1, 16 * 7 * 7])  # FAULT: net = tf.reshape(net, [-1, 16 * 28 * 28])
logits = tf.matmul(net, weights)
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
train = tf.train.AdamOptimizer().minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    for step in range(2):
        feed = {images: np.random.rand(4, 112, 112, 1), labels: [1, 7, 0, 3]}
        print("step", step, "loss", sess.run([loss, train], feed_dict=feed)[0])
