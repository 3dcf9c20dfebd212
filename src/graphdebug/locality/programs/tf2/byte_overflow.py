# dtype: pixels of type uint8 wrap around below zero
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([256, 2], seed=[1, 1]) * 0.1)


# COMPILED: @tf.function
def scores(pixels):
    centred = pixels - 128  # FAULT: centred = tf.cast(pixels, tf.float32) - 128
    return tf.reshape(tf.cast(centred, tf.float32) / 128, [8, 256]) @ w


pixels = tf.cast(tf.random.stateless_uniform([8, 16, 16], seed=[2, 1], maxval=256, dtype=tf.int32), tf.uint8)
labels = tf.range(8) % 2
for step in range(2):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores(pixels)))
    w.assign_sub(0.01 * tape.gradient(loss, w))
    print("step", step, "loss", float(loss))
