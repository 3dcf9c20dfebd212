# non-finite backward: the derivative of a square root at zero
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([4, 8], seed=[1, 1]))


# COMPILED: @tf.function
def distance(a, b):
    squared = tf.reduce_sum((a - b) ** 2, axis=1)
    return tf.sqrt(squared)  # FAULT: return tf.sqrt(squared + 1e-8)


anchor = tf.random.stateless_normal([6, 4], seed=[2, 1])
positive = tf.tensor_scatter_nd_update(tf.random.stateless_normal([6, 4], seed=[3, 1]), [[2]], anchor[2:3])
optimizer_rate = 0.1
for step in range(3):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(distance(anchor @ w, positive @ w))
    gradient = tape.gradient(loss, w)
    w.assign_sub(optimizer_rate * gradient)
    print("step", step, "loss", float(loss))
