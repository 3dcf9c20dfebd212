# AMP: a sum of squares overflows half precision
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([64, 256], seed=[1, 1]))


# COMPILED: @tf.function
def features(x):
    h = tf.cast(x @ w, tf.float16)  # FAULT: h = x @ w
    norm = tf.reduce_sum(h * h, axis=1, keepdims=True)  # FAULT
    return tf.cast(h, tf.float32) / tf.cast(norm, tf.float32)


x = tf.random.stateless_normal([8, 64], seed=[2, 1]) * 10
with tf.GradientTape() as tape:
    loss = tf.reduce_mean((features(x) - 0.1) ** 2)
print("loss", float(loss), "gradient", float(tf.reduce_max(tf.abs(tape.gradient(loss, w)))))
