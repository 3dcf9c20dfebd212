# misuse: the loss is computed from class numbers, which have no gradient
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([5, 3], seed=[1, 1]))
optimizer = tf.keras.optimizers.SGD(0.1)


# COMPILED: @tf.function
def predict(x):
    return tf.cast(tf.argmax(x @ w, axis=1), tf.float32)  # FAULT: return tf.reduce_max(x @ w, axis=1)


x, labels = tf.random.stateless_normal([9, 5], seed=[2, 1]), tf.cast(tf.range(9) % 3, tf.float32)
with tf.GradientTape() as tape:
    loss = tf.reduce_mean((predict(x) - labels) ** 2)
optimizer.apply_gradients([(tape.gradient(loss, w), w)])
print("loss", float(loss))
