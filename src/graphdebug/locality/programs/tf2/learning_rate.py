# divergence: a learning rate too large, the loss grows until it overflows
import tensorflow as tf

w, b = tf.Variable(tf.zeros([3, 1])), tf.Variable(0.0)
rate = 1.0  # FAULT: rate = 0.001


# COMPILED: @tf.function
def train(x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((x @ w + b - y) ** 2)
    dw, db = tape.gradient(loss, [w, b])
    w.assign_sub(rate * dw)  # FAULT
    b.assign_sub(rate * db)  # FAULT
    return loss


x = tf.random.stateless_normal([100, 3], seed=[1, 1]) * 10
y = x @ [[1.0], [-2.0], [0.5]] + 3
for epoch in range(30):
    loss = train(x, y)
    if epoch % 5 == 4:
        print("epoch", epoch, "loss", float(loss))
