# non-finite forward: log(1 + exp(a)) overflows in exp
import tensorflow as tf

w = tf.Variable([[0.3], [-0.2], [0.7]])


# COMPILED: @tf.function
def logistic_loss(scores, signs):
    margins = -signs * scores
    return tf.reduce_mean(tf.math.log(1 + tf.exp(margins)))  # FAULT: return tf.reduce_mean(tf.math.softplus(margins))


x = tf.random.stateless_normal([20, 3], seed=[2, 1]) * [1.0, 1.0, 500.0]
signs = tf.sign(tf.random.stateless_normal([20, 1], seed=[3, 1]))
for step in range(3):
    with tf.GradientTape() as tape:
        loss = logistic_loss(x @ w, signs)
    w.assign_sub(0.001 * tape.gradient(loss, w))
    print("step", step, "loss", float(loss))
