# shape: a matrix product is given a vector
import tensorflow as tf

weights = tf.Variable(tf.random.stateless_normal([7, 3], seed=[1, 1]))


# COMPILED: @tf.function
def scores(sample):
    return tf.matmul(sample, weights)  # FAULT: return tf.matmul(sample[None], weights)


sample = tf.random.stateless_normal([7], seed=[2, 1])  # FAULT
print(scores(sample).shape)
