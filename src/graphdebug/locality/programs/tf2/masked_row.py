# masked: an attention mask leaves a row with nothing to attend to
import tensorflow as tf

project = tf.Variable(tf.random.stateless_normal([8, 24], seed=[1, 1]) * 0.3)


# COMPILED: @tf.function
def attention(x, keep):
    q, k, v = tf.split(x @ project, 3, axis=-1)
    scores = tf.matmul(q, k, transpose_b=True) / 8**0.5
    scores = tf.where(keep[:, None, :], scores, float("-inf"))  # FAULT
    return tf.nn.softmax(scores) @ v  # FAULT


tokens = tf.random.stateless_normal([2, 5, 8], seed=[2, 1])
lengths = tf.constant([5, 0])  # FAULT: lengths = tf.constant([5, 2])
with tf.GradientTape() as tape:
    loss = tf.reduce_mean(attention(tokens, tf.sequence_mask(lengths, 5)) ** 2)
gradient = tape.gradient(loss, project)
print("loss", float(loss))
