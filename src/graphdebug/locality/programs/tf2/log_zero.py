# non-finite forward: the logarithm of a saturated softmax
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([10, 3], seed=[1, 1]))


# COMPILED: @tf.function
def cross_entropy(logits, targets):
    probabilities = tf.nn.softmax(logits)
    return -tf.reduce_mean(tf.reduce_sum(targets * tf.math.log(probabilities), axis=1))  # FAULT: return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


x = tf.random.stateless_normal([32, 10], seed=[2, 1])
targets = tf.one_hot(tf.range(32) % 3, 3)
for step in range(4):
    scale = 1.0 if step < 2 else 500.0
    with tf.GradientTape() as tape:
        loss = cross_entropy(tf.matmul(x, w) * scale, targets)
    if step < 2:
        w.assign_sub(0.1 * tape.gradient(loss, w))
    print("step", step, "loss", float(loss))
