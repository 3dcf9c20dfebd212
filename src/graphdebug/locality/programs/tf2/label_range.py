# misuse: labels count from 1 to 10 where the loss counts from 0 to 9
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([20, 10], seed=[1, 1]))  # FAULT


# COMPILED: @tf.function
def loss_of(images, digits):
    logits = images @ w
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=digits, logits=logits))  # FAULT


images = tf.random.stateless_uniform([30, 20], seed=[2, 1])
digits = tf.range(30) % 10 + 1  # FAULT: digits = tf.range(30) % 10
print("loss", float(loss_of(images, digits)))
