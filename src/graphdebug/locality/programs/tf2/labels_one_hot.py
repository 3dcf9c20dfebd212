# shape: one-hot labels are given to a sparse loss
import tensorflow as tf

w = tf.Variable(tf.random.stateless_normal([6, 4], seed=[1, 1]))


# COMPILED: @tf.function
def loss_of(x, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=x @ w))  # FAULT


classes = tf.range(12) % 4
labels = tf.cast(tf.one_hot(classes, 4), tf.int32)  # FAULT: labels = classes
print("loss", float(loss_of(tf.random.stateless_normal([12, 6], seed=[2, 1]), labels)))
