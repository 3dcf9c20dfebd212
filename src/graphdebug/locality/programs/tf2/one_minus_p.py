# non-finite forward: a hand-written cross entropy takes the log of 1 - p where p has become 1
import tensorflow as tf

w = tf.Variable([[1.0], [1.0]])


# COMPILED: @tf.function
def cross_entropy(x, y):
    p = tf.sigmoid(x @ w)  # MENDED: p = tf.clip_by_value(tf.sigmoid(x @ w), 1e-6, 1 - 1e-6)
    return -tf.reduce_mean(y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p))  # FAULT


x = tf.constant([[0.5, 0.2], [40.0, 30.0], [-1.0, 0.4]])
y = tf.constant([[1.0], [1.0], [0.0]])
for epoch in range(2):
    with tf.GradientTape() as tape:
        loss = cross_entropy(x, y)
    w.assign_sub(0.1 * tape.gradient(loss, w))
    print("epoch", epoch, "loss", float(loss))
