# broadcast: predictions of shape (N, 1) against targets of shape (N,)
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([3, 1], seed=[1, 1]))
x = tf.random.stateless_normal([40, 3], seed=[2, 1])
y = tf.reduce_sum(x, axis=1)  # FAULT: y = tf.reduce_sum(x, axis=1, keepdims=True)


# COMPILED: @tf.function
def squared_error(x, y):
    return tf.reduce_mean((x @ w - y) ** 2)  # FAULT


for epoch in range(3):
    with tf.GradientTape() as tape:
        loss = squared_error(x, y)
    w.assign_sub(0.05 * tape.gradient(loss, w))
    print("epoch", epoch, "loss", float(loss))
