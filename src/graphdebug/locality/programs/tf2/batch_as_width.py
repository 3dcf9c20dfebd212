# shape: a weight matrix is declared with the batch size as its width
import tensorflow as tf

batch_size, features, hidden = 64, 20, 32
w1 = tf.Variable(tf.random.stateless_normal([batch_size, hidden], seed=[1, 1]))  # FAULT: w1 = tf.Variable(tf.random.stateless_normal([features, hidden], seed=[1, 1]))
w2 = tf.Variable(tf.random.stateless_normal([hidden, 1], seed=[1, 2]))


# COMPILED: @tf.function
def regress(x):
    return tf.tanh(x @ w1) @ w2  # FAULT


x = tf.random.stateless_normal([batch_size, features], seed=[2, 1])
y = tf.reduce_sum(x, axis=1, keepdims=True)
for epoch in range(2):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((regress(x) - y) ** 2)
    g1, g2 = tape.gradient(loss, [w1, w2])
    w1.assign_sub(0.001 * g1)
    w2.assign_sub(0.001 * g2)
    print("epoch", epoch, "loss", float(loss))
