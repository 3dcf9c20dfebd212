# dtype: a running time in microseconds goes beyond int32, and a rate becomes negative
import tensorflow as tf

w = tf.Variable([[0.1]])
b = tf.Variable([0.0])


# COMPILED: @tf.function
def rates(amount, duration):
    micros = duration * 1000000  # FAULT: micros = tf.cast(duration, tf.float64) * 1000000
    return amount / tf.cast(micros, tf.float32)[:, None]


seconds = tf.random.stateless_uniform([16], seed=[1, 1], minval=600, maxval=7200, dtype=tf.int32)
bits = tf.random.stateless_uniform([16, 1], seed=[2, 1]) * 1e9
for step in range(2):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((rates(bits, seconds) @ w + b - 0.5) ** 2)
    for variable, gradient in zip((w, b), tape.gradient(loss, (w, b))):
        variable.assign_sub(0.01 * gradient)
    print("step", step, "loss", float(loss))
