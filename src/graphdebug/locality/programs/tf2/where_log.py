# masked: `where` hides the log of zero in forward, and its gradient is NaN all the same
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([6, 6], seed=[1, 1]))


# COMPILED: @tf.function
def safe_log(x):
    return tf.where(x > 0, tf.math.log(x), 0.0)  # FAULT: return tf.where(x > 0, tf.math.log(tf.where(x > 0, x, 1.0)), 0.0)


data = tf.random.stateless_normal([10, 6], seed=[2, 1])
for step in range(3):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(safe_log(tf.nn.relu(data @ w)))
    w.assign_sub(0.1 * tape.gradient(loss, w))
    print("step", step, "loss", float(loss))
