# misuse: a value made in the body of a loop is used behind it
import tensorflow.compat.v1 as tf

tf.disable_eager_execution()
tf.disable_control_flow_v2()
w = tf.Variable(tf.ones([4, 4]))
penalties = []


def body(i, state):
    state = tf.matmul(state, w) * 0.1
    penalties.append(tf.nn.l2_loss(state))  # FAULT: pass
    return i + 1, state


_, last = tf.while_loop(lambda i, state: i < 3, body, [tf.constant(0), tf.ones([2, 4])])
loss = tf.add_n([tf.reduce_sum(last), *penalties])
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    print("loss", sess.run(loss))
