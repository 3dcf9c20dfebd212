# non-finite forward: a constant feature is divided by its deviation, which is zero
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([5, 1], seed=[1, 1]))


# COMPILED: @tf.function
def standardize(x):
    mean, variance = tf.nn.moments(x, axes=[0])
    return (x - mean) / tf.sqrt(variance)  # FAULT: return (x - mean) / tf.sqrt(variance + 1e-6)


table = tf.concat([tf.random.stateless_normal([64, 4], seed=[2, 1]), tf.ones([64, 1])], axis=1)
target = table[:, :1] * 2
for epoch in range(3):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((standardize(table) @ w - target) ** 2)
    w.assign_sub(0.1 * tape.gradient(loss, w))
    print("epoch", epoch, "loss", float(loss))
