# shape: a checkpoint is loaded into a layer of another width
import os
import tempfile

import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
path = os.path.join(tempfile.mkdtemp(), "model")
with tf.Graph().as_default(), tf.Session() as sess:
    tf.get_variable("kernel", [6, 4], use_resource=False)
    sess.run(tf.global_variables_initializer())
    tf.train.Saver().save(sess, path)
with tf.Graph().as_default(), tf.Session() as sess:
    kernel = tf.get_variable("kernel", [6, 8], use_resource=False)  # FAULT: kernel = tf.get_variable("kernel", [6, 4], use_resource=False)
    tf.train.Saver().restore(sess, path)  # FAULT
    print(sess.run(tf.reduce_sum(kernel)) is not None)
