"""Training loops in TensorFlow 1: a session, a monitored one, a callable."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.options.loop import Loop, as_it_is, nothing

tf1 = tf.compat.v1


def loop(kind):
    def train(steps, spoil=as_it_is, before=nothing):
        with tf.Graph().as_default():
            tf1.set_random_seed(1)
            x = tf1.placeholder(tf.float32, [None, None], name="x")
            with tf1.variable_scope("encoder"):
                hidden = tf.nn.relu(tf.matmul(x, tf1.get_variable("weight", [4, 8])))
            with tf1.variable_scope("head"):
                out = tf.matmul(hidden, tf1.get_variable("weight", [8, 1]))
            loss = tf.reduce_mean(tf.square(out))
            update = tf1.train.GradientDescentOptimizer(1e-5).minimize(loss)
            init = tf1.global_variables_initializer()
            if kind == "MonitoredSession":
                opened = tf1.train.MonitoredSession()
            else:  # a run of an initializer of the user's own would count as a step
                opened = tf1.train.SessionManager().prepare_session("", init_op=init)
            with opened as session:

                def run(batch):
                    return session.run([loss, update], {x: batch})

                if kind == "make_callable":
                    run = session.make_callable([loss, update], feed_list=[x])
                for step in range(steps):
                    before(step)
                    run(spoil(step, np.random.RandomState(step).rand(16, 4).astype("f") + 0.5))

    return Loop(train, encoder="encoder*", relu="Relu", parameters={"encoder/weight", "head/weight"})


LOOPS = {kind: lambda kind=kind: loop(kind) for kind in ("Session", "MonitoredSession", "make_callable")}
