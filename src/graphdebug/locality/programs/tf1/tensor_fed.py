# misuse: a tensor, not an array, is fed
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None, 3])
total = tf.reduce_sum(x)
batch = tf.random_uniform([4, 3])  # FAULT
with tf.Session() as sess:
    print(sess.run(total, feed_dict={x: batch}))  # FAULT: print(sess.run(total, feed_dict={x: sess.run(batch)}))
