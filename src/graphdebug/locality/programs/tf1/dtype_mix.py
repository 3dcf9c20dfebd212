# dtype: a placeholder of type float64 meets float32 weights, so that the graph can't be built
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
inputs = tf.placeholder(tf.float64, [None, 4])  # FAULT: inputs = tf.placeholder(tf.float32, [None, 4])
w = tf.Variable(tf.random_normal([4, 1]))
prediction = tf.matmul(inputs, w)  # FAULT
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print("mean", sess.run(tf.reduce_mean(prediction), {inputs: np.random.randn(50, 4)}))
