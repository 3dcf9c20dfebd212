# misuse: a session of one graph is asked for a tensor of another
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
train_graph, test_graph = tf.Graph(), tf.Graph()
with train_graph.as_default():
    a = tf.constant([1.0, 2.0])
    doubled = a * 2
with test_graph.as_default():
    b = tf.constant([3.0])
with tf.Session(graph=test_graph) as sess:  # FAULT: with tf.Session(graph=train_graph) as sess:
    print(sess.run(doubled))  # FAULT
