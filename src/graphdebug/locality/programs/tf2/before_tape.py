# misuse: the prediction is computed before the tape that is to follow it is opened
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([6, 1], seed=[1, 1]))
optimizer = tf.keras.optimizers.SGD(0.05)
data = tf.random.stateless_normal([20, 6], seed=[2, 2])
wanted = tf.reduce_sum(data, 1, keepdims=True)
for step in range(3):
    guess = tf.matmul(data, w)  # FAULT: guess = None
    with tf.GradientTape() as tape:
        guess = tf.identity(guess)  # MENDED: guess = tf.matmul(data, w)
        loss = tf.reduce_mean(tf.square(guess - wanted))
    optimizer.apply_gradients(zip(tape.gradient(loss, [w]), [w]))  # FAULT
    print("step", step, "loss", float(loss))
