"""Programs with one fault each in graphs, tapes and traced functions: ``# <- fault`` marks its line."""

import keras
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def session_for_the_default_graph():
    graph = tf.Graph()
    with graph.as_default():
        total = tf.reduce_sum(v1.placeholder_with_default(tf.ones([2, 2]), [None, 2]))
    session = v1.Session()  # <- fault: of another graph
    session.run(total)


def reuse_of_a_variable_that_is_not_there():
    def net(x, reuse):
        with v1.variable_scope("net", reuse=reuse):
            return tf.matmul(x, v1.get_variable("w", [4, 1]))

    with tf.Graph().as_default():
        net(v1.placeholder(tf.float32, [None, 4]), reuse=True)  # <- fault: the first use


def shared_variable_of_another_width():
    def net(x):
        with v1.variable_scope("net", reuse=v1.AUTO_REUSE):
            return tf.matmul(x, v1.get_variable("w", [x.shape[1], 3]))

    with tf.Graph().as_default():
        wide = v1.placeholder(tf.float32, [None, 4])
        narrow = v1.placeholder(tf.float32, [None, 5])  # <- fault: 4 were shared
        net(wide)
        net(narrow)


def metric_without_local_variables():
    with tf.Graph().as_default(), v1.Session() as session:
        y = v1.placeholder(tf.int64, [None])
        _, update = v1.metrics.accuracy(y, y)
        session.run(v1.global_variables_initializer())  # <- fault: local ones, too
        session.run(update, {y: [1, 2]})


def output_size_that_the_stride_does_not_mirror():
    def grow(x, size, name):
        kernel = v1.get_variable(name, [3, 3, size[-1], x.shape[-1]])
        return tf.nn.relu(tf.nn.conv2d_transpose(x, kernel, size, [1, 2, 2, 1]))

    with tf.Graph().as_default():
        small = v1.get_variable("small", [2, 4, 4, 8])
        middle = grow(small, [2, 8, 8, 4], "one")  # <- fault: 7 are needed
        large = grow(middle, [2, 14, 14, 1], "two")
        v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(large))


@tf.function
def _growing(n):
    rows = tf.zeros([0, 4])
    for _ in tf.range(n):
        rows = tf.concat([rows, tf.ones([1, 4])], 0)  # <- fault: grows
    return rows


def loop_variable_that_grows():
    _growing(tf.constant(3))


@tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
def _declared(x):
    return tf.reduce_sum(x, 1)


def argument_of_another_dtype_than_declared():
    rows = np.ones([4, 3], np.int64)  # <- fault: whole numbers
    _declared(tf.constant(rows))


@tf.function
def _making_a_layer(x):
    layer = keras.layers.Dense(2)  # <- fault: at each trace
    return layer(x)


def layer_made_in_a_function():
    _making_a_layer(tf.ones([2, 3]))
    _making_a_layer(tf.ones([4, 3]))


def tape_used_twice():
    a, b = tf.Variable(1.0), tf.Variable(2.0)
    with tf.GradientTape() as tape:  # <- fault: for one use
        product = a * b
    tape.gradient(product, a)
    tape.gradient(product, b)


def loss_after_the_tape():
    w = tf.Variable(tf.ones([3, 1]))
    optimizer = keras.optimizers.SGD(0.1)
    with tf.GradientTape() as tape:
        guess = tf.matmul(tf.ones([5, 3]), w)
    loss = tf.reduce_mean(tf.square(guess - 2.0))  # <- fault: outside
    optimizer.apply_gradients([(tape.gradient(loss, w), w)])


class Early(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Dense(1)

    def call(self, x):
        return self.head(x)

    def train_step(self, data):
        x, y = data
        guess = self(x)  # <- fault: before the tape
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(guess - y))
        slopes = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(slopes, self.trainable_variables, strict=True))
        return {"loss": loss}


def train_step_before_its_tape():
    model = Early()
    model.compile("sgd")
    model.fit(np.ones([4, 3]), np.ones([4, 1]), verbose=0)


def gradient_of_none_passed_on():
    image = tf.identity(tf.ones([4]))  # <- fault: not watched
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(image * image)
    tf.clip_by_norm(tape.gradient(loss, image), 1.0)


def generator_of_other_shapes():
    def rows():
        yield np.ones(8, "float32")

    told = tf.TensorSpec([9], tf.float32)  # <- fault: 8 come
    data = tf.data.Dataset.from_generator(rows, output_signature=told)
    list(data)


def constant_of_another_dtype_in_a_function():
    adjacency = tf.constant(np.eye(4))  # <- fault: float64
    features, w = tf.ones([4, 3]), tf.Variable(tf.ones([3, 3]))

    def convolve(a, x):
        h = tf.matmul(x, w)
        return tf.matmul(a, h)

    @tf.function
    def both():
        return convolve(adjacency, convolve(adjacency, features))

    both()


def numpy_between_weights_and_loss():
    w, rows = tf.Variable(tf.ones([3, 1])), np.ones([4, 3], "float32")

    def loss_of(guess):
        left = guess.numpy() - rows[:, :1]  # <- fault: NumPy keeps no history
        return tf.reduce_mean(tf.constant(left) ** 2)

    with tf.GradientTape() as tape:
        loss = loss_of(rows @ w)
    w.assign_sub(0.1 * tape.gradient(loss, w))


def roll_over_one_axis_by_two():
    rows = tf.ones([3, 4])
    tf.roll(rows, shift=[1, 2], axis=1)  # <- fault: one axis, two shifts


def reverse_of_an_axis_that_is_not_there():
    rows = tf.ones([8, 20])
    tf.reverse(rows, axis=[2])  # <- fault: there are two axes


def attention_whose_weights_add_up_over_the_batch():
    rows = tf.random.normal([4, 3, 2])
    query, key = tf.Variable(tf.ones([2, 2])), tf.Variable(tf.ones([2, 2]))
    for _ in range(3):
        with tf.GradientTape() as tape:
            scores = tf.matmul(rows @ query, rows @ key, transpose_b=True)
            weights = tf.nn.softmax(scores, axis=0)  # <- fault: the product sums over the last axis
            loss = tf.reduce_mean(tf.matmul(weights, rows) ** 2)
        for one, gradient in zip((query, key), tape.gradient(loss, (query, key)), strict=True):
            one.assign_sub(0.1 * gradient)
