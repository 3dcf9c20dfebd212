# wrong axis: the softmax runs over the batch, and nothing fails
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([4, 3], seed=[1, 1]))


# COMPILED: @tf.function
def policy(states):
    return tf.nn.softmax(states @ w, axis=0)  # FAULT: return tf.nn.softmax(states @ w, axis=1)


states, taken = tf.random.stateless_normal([20, 4], seed=[2, 1]), tf.range(20) % 3
for step in range(3):
    with tf.GradientTape() as tape:
        chosen = tf.gather(policy(states), taken, batch_dims=1)
        loss = -tf.reduce_mean(tf.math.log(chosen))
    w.assign_sub(0.1 * tape.gradient(loss, w))
    print("step", step, "loss", float(loss))
