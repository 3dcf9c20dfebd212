# dtype: pixels of type uint8 wrap around below zero
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
rng = np.random.RandomState(0)
pixels = tf.placeholder(tf.uint8, [None, 16, 16])
labels = tf.placeholder(tf.int32, [None])
centred = pixels - 128  # FAULT: centred = tf.cast(pixels, tf.float32) - 128
flat = tf.reshape(tf.cast(centred, tf.float32) / 128, [-1, 256])
w = tf.Variable((rng.randn(256, 2) * 0.1).astype("float32"))
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=tf.matmul(flat, w)))
train = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    feed = {pixels: rng.randint(0, 256, (8, 16, 16)), labels: np.arange(8) % 2}
    for step in range(2):
        print("step", step, "loss", sess.run([loss, train], feed)[0])
