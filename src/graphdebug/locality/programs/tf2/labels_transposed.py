# shape: soft labels are stored with a row a class
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([12, 5], seed=[1, 1]))
soft = tf.nn.softmax(tf.random.stateless_normal([5, 32], seed=[2, 1]), axis=0)  # FAULT: soft = tf.transpose(tf.nn.softmax(tf.random.stateless_normal([5, 32], seed=[2, 1]), axis=0))


# COMPILED: @tf.function
def loss_of(x, labels):
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=x @ w))  # FAULT


print("loss", float(loss_of(tf.random.stateless_normal([32, 12], seed=[3, 1]), soft)))
