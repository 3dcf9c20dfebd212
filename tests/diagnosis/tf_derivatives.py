"""Faults in the shape of a gradient, as TensorFlow programs: ``# <- fault`` marks where each was born."""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


@tf.custom_gradient
def _product(x, w):
    def grad(upstream):
        of_w = tf.matmul(upstream, x, transpose_a=True)  # <- fault: transposed
        return tf.matmul(upstream, w, transpose_b=True), of_w

    return tf.matmul(x, w), grad


def eager_custom_gradient():
    w = tf.Variable(tf.random.normal([5, 3]))
    v = tf.Variable(tf.random.normal([6, 5]))
    x = tf.random.normal([4, 6])
    opt = tf.keras.optimizers.SGD(0.1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(_product(tf.matmul(x, v), w))
    g = tape.gradient(loss, [v, w])
    opt.apply_gradients(zip(g, [v, w], strict=True))


@tf.custom_gradient
def _raises(x, w):
    def grad(upstream):
        return tf.matmul(upstream, w), tf.matmul(x, upstream, transpose_a=True)  # <- fault: w transposed

    return tf.matmul(x, w), grad


def eager_custom_gradient_raises():
    w = tf.Variable(tf.random.normal([5, 3]))
    v = tf.Variable(tf.random.normal([6, 5]))
    x = tf.random.normal([4, 6])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(_raises(tf.matmul(x, v), w))
    tape.gradient(loss, [v, w])


@tf.custom_gradient
def _clip(x):
    def grad(upstream):
        return tf.reduce_sum(upstream, 1)  # <- fault: loses an axis

    return tf.identity(x), grad


def eager_custom_gradient_inner():
    v = tf.Variable(tf.random.normal([6, 5]))
    x = tf.random.normal([4, 6])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(_clip(tf.matmul(x, v)) ** 2)
    tape.gradient(loss, v)


def function_custom_gradient():
    v = tf.Variable(tf.random.normal([6, 5]))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(_clip(tf.matmul(x, v)) ** 2)
        return tape.gradient(loss, v)

    step(tf.random.normal([4, 6]))


def function_custom_gradient_raises():
    w = tf.Variable(tf.random.normal([5, 3]))
    v = tf.Variable(tf.random.normal([6, 5]))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(_raises(tf.matmul(x, v), w))
        return tape.gradient(loss, [v, w])

    step(tf.random.normal([4, 6]))


def function_custom_gradient_apply():
    w = tf.Variable(tf.random.normal([5, 3]))
    v = tf.Variable(tf.random.normal([6, 5]))
    opt = tf.keras.optimizers.SGD(0.1)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(_product(tf.matmul(x, v), w))
        g = tape.gradient(loss, [v, w])
        opt.apply_gradients(zip(g, [v, w], strict=True))

    step(tf.random.normal([4, 6]))


def function_output_gradients():
    v = tf.Variable(tf.random.normal([6, 5]))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            out = tf.matmul(x, v)
        given = tf.ones([5, 4])  # <- fault
        return tape.gradient(out, v, output_gradients=given)

    step(tf.random.normal([4, 6]))


def output_gradients_unknown_batch():
    v = tf.Variable(tf.random.normal([6, 5]))

    @tf.function(input_signature=[tf.TensorSpec([None, 6]), tf.TensorSpec([None, 5])])
    def step(x, given):
        with tf.GradientTape() as tape:
            out = tf.matmul(x, v)
        return tape.gradient(out, v, output_gradients=given)

    given = tf.ones([3, 5])  # <- fault
    step(tf.random.normal([4, 6]), given)


def tf1_custom_gradient():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6])
        v = v1.get_variable("v", [6, 5])
        loss = tf.reduce_sum(_clip(tf.matmul(x, v)) ** 2)
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        session.run(train, {x: np.ones([4, 6])})


def tf1_custom_gradient_product():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6])
        v = v1.get_variable("v", [6, 5])
        w = v1.get_variable("w", [5, 3])
        loss = tf.reduce_sum(_product(tf.matmul(x, v), w))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        session.run(train, {x: np.ones([4, 6])})


def tf1_registered_gradient():
    @tf.RegisterGradient("WithoutRows")
    def wrong(op, upstream):
        return tf.reduce_sum(upstream, 0)  # <- fault

    g = tf.Graph()
    with g.as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6])
        v = v1.get_variable("v", [6, 5])
        with g.gradient_override_map({"Relu": "WithoutRows"}):
            h = tf.nn.relu(tf.matmul(x, v))
        loss = tf.reduce_sum(h**2)
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        session.run(train, {x: np.ones([4, 6])})


def tf1_registered_gradient_run_time():
    @tf.RegisterGradient("TwiceTheRows")
    def wrong(op, upstream):
        return tf.concat([upstream, upstream], 0)  # <- fault

    g = tf.Graph()
    with g.as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6])
        v = v1.get_variable("v", [6, 5])
        with g.gradient_override_map({"Relu": "TwiceTheRows"}):
            h = tf.nn.relu(tf.matmul(x, v))
        loss = tf.reduce_sum(h**2)
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        session.run(train, {x: np.ones([4, 6])})


def tf1_grad_ys():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6])
        v = v1.get_variable("v", [6, 5])
        out = tf.matmul(x, v)
        given = tf.ones([4, 1])  # <- fault
        g = tf.gradients(out, v, grad_ys=given)
        session.run(v1.global_variables_initializer())
        session.run(g, {x: np.ones([4, 6])})


def tf1_clipped_gradients_reshaped():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6])
        v = v1.get_variable("v", [6, 5])
        loss = tf.reduce_sum(tf.matmul(x, v) ** 2)
        opt = v1.train.GradientDescentOptimizer(0.1)
        pairs = [(tf.reduce_mean(g, 0), one) for g, one in opt.compute_gradients(loss)]  # <- fault
        train = opt.apply_gradients(pairs)
        session.run(v1.global_variables_initializer())
        session.run(train, {x: np.ones([4, 6])})


def eager_reshaped_gradients():
    v = tf.Variable(tf.random.normal([6, 5]))
    x = tf.random.normal([4, 6])
    opt = tf.keras.optimizers.SGD(0.1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.matmul(x, v) ** 2)
    g = tape.gradient(loss, v)
    g = tf.reduce_mean(g, 0)  # <- fault
    opt.apply_gradients([(g, v)])


def output_gradients_applied():
    v = tf.Variable(tf.random.normal([6, 5]))
    x = tf.random.normal([4, 6])
    opt = tf.keras.optimizers.SGD(0.1)
    with tf.GradientTape() as tape:
        out = tf.matmul(x, v)
    given = tf.ones([4, 1])  # <- fault
    g = tape.gradient(out, v, output_gradients=given)
    opt.apply_gradients([(g, v)])
