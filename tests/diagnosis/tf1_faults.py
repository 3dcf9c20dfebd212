"""Programs with one fault each, in TF1 graphs and sessions: ``# <- fault`` marks where it was born."""

import contextlib
import os
import tempfile

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def _cnn(x, width):
    k1 = v1.get_variable("k1", [5, 5, 1, 8])
    k2 = v1.get_variable("k2", [5, 5, 8, 64])
    h = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, k1, 1, "SAME")), 2, 2, "SAME")
    h = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(h, k2, 1, "SAME")), 2, 2, "SAME")
    flat = tf.reshape(h, [-1, width])  # <- fault: fold
    w = v1.get_variable("w", [width, 10])
    return tf.matmul(flat, w)


def fold_fails_in_loss():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, None, None, 1])
        y = v1.placeholder(tf.int32, [None])
        logits = _cnn(x, 3136)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: np.zeros([49, 100, 100, 1]), y: np.zeros(49)})


def fold_never_fails():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, None, None, 1])
        guess = tf.argmax(_cnn(x, 3136), 1)
        session.run(v1.global_variables_initializer())
        session.run(guess, {x: np.zeros([49, 100, 100, 1])})


def weight_for_another_image():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 28, 28, 1])
        k = tf.Variable(tf.random.normal([5, 5, 1, 32]))
        h = tf.nn.max_pool2d(tf.nn.conv2d(x, k, 1, "VALID"), 2, 2, "SAME")
        flat = tf.reshape(h, [-1, 12 * 12 * 32])
        w = tf.Variable(tf.random.normal([14 * 14 * 32, 10]))  # <- fault: dense
        tf.matmul(flat, w)


def feed_of_another_shape():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 784], name="x")  # <- fault: placeholder
        session.run(tf.reduce_sum(x), {x: np.zeros([5, 30])})


def feed_not_reshaped():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 784], name="x")
        images = np.zeros([5, 28, 28])  # <- fault: not flattened
        session.run(tf.reduce_sum(x), {x: images})


def labels_transposed():
    with tf.Graph().as_default(), v1.Session() as session:
        logits = v1.placeholder(tf.float32, [None, None])
        y = v1.placeholder(tf.float32, [None, None])
        turned = tf.transpose(y)  # <- fault: transposed
        loss = tf.nn.softmax_cross_entropy_with_logits(labels=turned, logits=logits)
        session.run(loss, {logits: np.zeros([6, 4]), y: np.zeros([6, 4])})


def log_of_zero():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        w = tf.Variable(tf.zeros([3, 2]))
        p = tf.nn.softmax(tf.matmul(x, w) * tf.constant([1e4, -1e4]) + tf.constant([1e4, -1e4]))
        loss = -tf.reduce_sum(tf.math.log(p))  # <- fault: log
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(3):
            session.run([train, loss], {x: np.ones([4, 3])})


def square_root_at_zero():
    with tf.Graph().as_default(), v1.Session() as session:
        w = tf.Variable([0.0, 0.0])
        loss = tf.reduce_sum(tf.sqrt(w))  # <- fault: sqrt
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(3):
            session.run([train, loss])


def masked_log():
    with tf.Graph().as_default(), v1.Session() as session:
        w = tf.Variable([0.0, 1.0])
        y = tf.where(w > 0, tf.math.log(w), tf.zeros([2]))  # <- fault: masked log
        gradient = tf.gradients(tf.reduce_sum(y), w)[0]
        session.run(v1.global_variables_initializer())
        session.run(gradient)


def step_size_too_large():
    rng = np.random.default_rng(0)
    data = rng.normal(size=[32, 3]) * 50
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        y = v1.placeholder(tf.float32, [None, 1])
        w = tf.Variable(tf.zeros([3, 1]))
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        train = v1.train.GradientDescentOptimizer(0.5).minimize(loss)  # <- fault: step size
        session.run(v1.global_variables_initializer())
        for _ in range(40):
            session.run([train, loss], {x: data, y: data.sum(1, keepdims=True)})


def variable_not_initialized():
    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("w", [2, 2])
        session.run(w + 1)  # <- fault: no initializer


def initialized_in_another_session():
    with tf.Graph().as_default():
        w = v1.get_variable("w", [2, 2])
        initialize = v1.global_variables_initializer()
        with v1.Session() as session:
            session.run(initialize)
        with v1.Session() as other:  # <- fault: begins without values
            other.run(w + 1)


def table_not_initialized():
    with tf.Graph().as_default(), v1.Session() as session:
        words = v1.placeholder(tf.string, [None])
        pairs = tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([0, 1], tf.int64))
        rows = tf.lookup.StaticHashTable(pairs, -1).lookup(words)
        w = v1.get_variable("w", [2, 2])
        out = tf.gather(w, rows)
        session.run(v1.global_variables_initializer())  # <- fault: no tables
        session.run(out, {words: ["a", "b"]})


def initialized_too_early():
    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("w", [2, 1])
        init = v1.global_variables_initializer()  # <- fault: before the slots
        loss = tf.reduce_sum(tf.square(w))
        train = v1.train.AdamOptimizer().minimize(loss)
        session.run(init)
        session.run(train)


def placeholder_not_fed():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [2], name="x")
        y = v1.placeholder(tf.float32, [2], name="y")
        session.run(x + y, {x: [1, 2]})  # <- fault: unfed


def node_of_another_graph():
    with tf.Graph().as_default():
        a = tf.constant(1.0)
    with tf.Graph().as_default(), v1.Session() as session:  # <- fault: its graph is empty
        session.run(a)


def placeholder_made_before_its_graph():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 4], name="x")  # <- fault: of another graph
    with tf.Graph().as_default():
        w = v1.get_variable("w", [4, 2])
        v1.get_variable("b", [2], initializer=v1.zeros_initializer())
        tf.nn.relu(tf.matmul(x, w))


def placeholder_of_another_graph_is_fed():
    with tf.Graph().as_default():
        keep = v1.placeholder(tf.float32, [], name="keep")  # <- fault: of another graph
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        total = tf.reduce_sum(tf.nn.relu(x))
        session.run(total, {x: np.ones([2, 4]), keep: 1.0})


def graph_finalized():
    with tf.Graph().as_default() as graph, v1.Session() as session:
        a = tf.constant(1.0)
        graph.finalize()
        session.run(a + 1)  # <- fault: finalized


def float64_placeholder():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float64, [None, 3])  # <- fault: float64
        w = tf.Variable(tf.zeros([3, 2]))
        tf.matmul(x, w)


def label_out_of_range():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        y = v1.placeholder(tf.int32, [None])
        w = tf.Variable(tf.zeros([3, 5]))  # <- fault: classes
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=tf.matmul(x, w))
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: np.zeros([2, 3]), y: [1, 5]})


def column_against_row():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        y = v1.placeholder(tf.float32, [None])
        w = tf.Variable(tf.zeros([3, 1]))
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))  # <- fault: broadcast
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: np.zeros([8, 3]), y: np.zeros(8)})


def nan_in_data():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        w = tf.Variable(tf.zeros([3, 1]))
        loss = tf.reduce_sum(tf.matmul(x, w))
        session.run(v1.global_variables_initializer())
        print(session.run(loss, {x: [[1.0, np.nan, 0.0]]}))  # <- fault: data


def vector_for_a_matrix():
    with tf.Graph().as_default():
        sample = v1.placeholder(tf.float32, [10])  # <- fault: a vector
        tf.matmul(sample, v1.get_variable("w", [10, 4]))


def labels_and_logits_swapped():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 6])
        y = v1.placeholder(tf.float32, [None, 3])
        logits = tf.stop_gradient(tf.matmul(x, tf.Variable(tf.zeros([6, 3]))))
        each = tf.nn.softmax_cross_entropy_with_logits(labels=logits, logits=y)  # <- fault: swapped
        v1.train.AdamOptimizer().minimize(tf.reduce_mean(each))


def tensor_as_a_feed():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        total = tf.reduce_sum(x)
        batch = tf.random.normal([4, 3])
        session.run(total, {x: batch})  # <- fault: a tensor of the graph is no array


def operation_as_a_target():
    with tf.Graph().as_default():
        v = tf.Variable(tf.ones([2]))
        v1.Session(v.initializer)  # <- fault: it takes an address here


def value_of_a_loop_used_outside():
    with tf.Graph().as_default():
        v1.disable_control_flow_v2()
        squares = []

        def body(i, total):
            square = tf.cast(i * i, tf.float32)  # <- fault: there is one in each pass
            squares.append(square)
            return i + 1, total + square

        try:
            _, total = tf.while_loop(lambda i, _: i < 3, body, [tf.constant(0), tf.constant(0.0)])
            tf.add(total, squares[0])
        finally:
            v1.enable_control_flow_v2()


def initial_value_of_a_placeholder():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 5])
        w = v1.Variable(tf.reduce_mean(x, 0), validate_shape=False)  # <- fault: initializers are not fed
        session.run(v1.global_variables_initializer())
        session.run(x * w, {x: np.ones([2, 5])})


def _saved(width, path):
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("kernel", [4, width], use_resource=False)
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        saver.save(session, path)


def checkpoint_of_another_shape():
    path = os.path.join(tempfile.mkdtemp(), "model")
    _saved(3, path)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("kernel", [4, 6], use_resource=False)  # <- fault: it was saved with 3 columns
        v1.train.Saver().restore(session, path)


def _trained_saver(kernel):
    v1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(tf.square(kernel)))
    return v1.train.Saver()


def checkpoint_of_another_shape_after_training():
    path = os.path.join(tempfile.mkdtemp(), "model")
    with tf.Graph().as_default(), v1.Session() as session:
        saver = _trained_saver(v1.get_variable("kernel", [4, 3], use_resource=False))
        session.run(v1.global_variables_initializer())
        saver.save(session, path)
    with tf.Graph().as_default(), v1.Session() as session:
        kernel = v1.get_variable("kernel", [4, 6], use_resource=False)  # <- fault: it was saved with 3
        _trained_saver(kernel).restore(session, path)


def labels_and_logits_swapped_before_the_optimizer():
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
        scores = tf.matmul(x, v1.get_variable("w", [6, 3]))
        losses = v1.losses.softmax_cross_entropy(scores, y)  # <- fault: labels come first
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        pairs = optimizer.compute_gradients(tf.reduce_mean(losses))
        optimizer.apply_gradients(pairs)


def weights_in_double_precision():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 5])
        w = tf.Variable(np.zeros([5, 2]))  # <- fault: NumPy makes doubles
        tf.matmul(x, w)


def logits_keep_a_dimension():
    with tf.Graph().as_default():
        x, y = v1.placeholder(tf.float32, [None, 8, 8, 3]), v1.placeholder(tf.int32, [None])
        h = tf.nn.conv2d(x, v1.get_variable("k", [3, 3, 3, 4]), 1, "SAME")
        logits = tf.reduce_max(h, [1, 2], keepdims=True)  # <- fault: kept
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)


def hidden_layer_of_zeros():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 1])
        first = tf.Variable(tf.zeros([6, 4]))  # <- fault: both begin at 0
        second = tf.Variable(tf.zeros([4, 1]))
        loss = tf.reduce_mean(tf.square(tf.matmul(tf.nn.relu(tf.matmul(x, first)), second) - y))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(2):
            session.run([train, loss], {x: np.ones([3, 6]), y: np.ones([3, 1])})


def logits_through_relu():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 3])
        logits = tf.nn.relu(tf.matmul(x, v1.get_variable("w", [6, 3])))  # <- fault: no score below 0
        loss = tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits)
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: np.ones([4, 6]), y: np.eye(3)[[0, 1, 2, 0]]})


def argmax_of_one_column_beside_the_labels():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 6]), v1.placeholder(tf.float32, [None, 1])
        guess = tf.matmul(x, v1.get_variable("w", [6, 1]))
        right = tf.equal(tf.argmax(y, 1), tf.argmax(guess, 1))  # <- fault: over one column
        session.run(v1.global_variables_initializer())
        session.run(right, {x: np.ones([4, 6]), y: np.ones([4, 1])})


def squares_grow_until_they_overflow():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [4, 1]), v1.placeholder(tf.float32, [4, 1])
        w = tf.Variable(tf.ones([1, 1]))
        loss = tf.reduce_sum(tf.pow(tf.matmul(x, w) - y, 2))
        train = v1.train.GradientDescentOptimizer(9.0).minimize(loss)  # <- fault: the step size
        session.run(v1.global_variables_initializer())
        for _ in range(20):
            session.run(train, {x: np.ones([4, 1]) * 9, y: np.ones([4, 1])})
            session.run(loss, {x: np.ones([4, 1]) * 9, y: np.ones([4, 1])})


def state_made_for_one_batch():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4, 3])
        w = v1.get_variable("w", [3, 5])
        u = v1.get_variable("u", [5, 5])
        h = tf.zeros([16, 5])  # <- fault: batch
        for step in range(4):
            h = tf.tanh(tf.matmul(x[:, step], w) + tf.matmul(h, u))
        session.run(v1.global_variables_initializer())
        session.run(h, {x: np.zeros([16, 4, 3])})
        session.run(h, {x: np.zeros([6, 4, 3])})


def moments_over_the_batch_alone():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 6, 6, 3])
        scale, offset = tf.Variable(tf.ones([3])), tf.Variable(tf.zeros([3]))
        mean, variance = tf.nn.moments(x, [0])  # <- fault: axes
        v1.nn.fused_batch_norm(x, scale, offset, mean=mean, variance=variance, is_training=False)


def _critic(x):
    with v1.variable_scope("critic"):  # <- fault: not reused
        w = v1.get_variable("w", [4, 1])
        return tf.matmul(x, w)


def variable_made_a_second_time():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 4])
        _critic(x)
        _critic(x + 1.0)


def loss_taken_from_a_train_step():
    with tf.Graph().as_default(), v1.Session() as session:
        w = tf.Variable([1.0, 2.0])
        loss = tf.reduce_sum(tf.square(w))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        value = session.run(train)  # <- fault: gives None
        print(f"{value:.3f}")


def sum_that_a_comma_made_a_tuple():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 4])
        w, b = tf.Variable(tf.ones([4, 3])), tf.Variable(tf.zeros([3]))
        layer = tf.matmul(x, w), b  # <- fault: comma
        tf.nn.relu(layer)


@contextlib.contextmanager
def _control_flow_of_tf1():
    v1.disable_control_flow_v2()
    try:
        yield
    finally:
        v1.enable_control_flow_v2()


def loop_that_changes_a_width():
    with tf.Graph().as_default(), _control_flow_of_tf1():
        x = v1.placeholder(tf.float32, [4, 3])
        w = v1.get_variable("w", [3, 5])  # <- fault: not square
        v1.while_loop(lambda i, _: i < 3, lambda i, h: (i + 1, tf.tanh(tf.matmul(h, w))), [tf.constant(0), x])


def branches_of_two_dtypes():
    with tf.Graph().as_default(), _control_flow_of_tf1():
        flag = v1.placeholder(tf.bool, [])
        x = v1.placeholder(tf.float32, [3])
        hard = lambda: tf.cast(x > 0.5, tf.int32)  # <- fault: int32  # noqa: E731
        v1.cond(flag, lambda: x * 2.0, hard)


def loop_that_gathers_rows():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [4, 3])
        start = [tf.constant(0), x]
        v1.while_loop(lambda i, _: i < 3, lambda i, h: (i + 1, tf.concat([h, h], 0)), start)  # <- fault: grows


def share_of_hits_in_whole_numbers():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.int32, [None])
        hits = tf.reduce_sum(tf.cast(tf.equal(x, 1), tf.int32))
        share = hits // tf.size(x)  # <- fault: division
        session.run(tf.cast(share, tf.float32), {x: [0, 1, 1]})


def local_variables_left_out():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None])
        mean, update = v1.metrics.mean(x)
        weight = tf.Variable(1.0)
        init = v1.global_variables_initializer()  # <- fault: not the local ones
        session.run(init)
        session.run([update, weight], {x: [1.0]})
        session.run(mean)


def one_hot_of_other_classes():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 6])
        action = v1.placeholder(tf.int32, [None])
        scores = tf.matmul(x, tf.Variable(tf.ones([6, 3])))
        mask = tf.one_hot(action, 6)  # <- fault: 3 scores
        tf.reduce_sum(scores * mask, 1)


def mask_of_another_size_than_the_scores():
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 8, 8, 1])
        mask = v1.placeholder(tf.int32, [None, 8, 8])
        kernel = v1.get_variable("kernel", [3, 3, 1, 4])  # <- fault: its strides shrink
        scores = tf.nn.conv2d(images, kernel, 2, "SAME")
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=mask, logits=scores)
        session.run(v1.global_variables_initializer())
        session.run(loss, {images: np.zeros([2, 8, 8, 1]), mask: np.zeros([2, 8, 8])})


def row_of_labels_against_a_column():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4])
        y = v1.placeholder(tf.float32, [1, None])
        score = tf.matmul(x, tf.Variable(tf.ones([4, 1])))
        loss = tf.reduce_mean(tf.square(score - y))  # <- fault: broadcast
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: np.ones([5, 4]), y: np.zeros([1, 5])})


def _weighted(*names):
    x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 1])
    return (x, y, *(v1.get_variable(name, [4, 1], trainable=name != "target") for name in names))


def _batch(x, y):
    return {x: np.linspace(0, 1, 32).reshape(8, 4), y: np.ones([8, 1])}


def moving_average_that_no_step_updates():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y, w = _weighted("w")
        mean = v1.get_variable("mean", [4], initializer=v1.zeros_initializer(), trainable=False)
        update = v1.assign(mean, 0.9 * mean + 0.1 * tf.reduce_mean(x, 0))
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, update)
        loss = tf.reduce_mean(tf.square(tf.matmul(x - mean, w) - y))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)  # <- fault: without the updates
        session.run(v1.global_variables_initializer())
        for _ in range(4):
            session.run(train, _batch(x, y))


def target_network_that_is_never_synchronized():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y, w, target = _weighted("w", "target")
        sync = v1.assign(target, w)  # noqa: F841
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - (y + 0.9 * tf.matmul(x, target))))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(4):
            session.run([train, loss], _batch(x, y))  # <- fault: sync is left out


def schedule_whose_steps_are_not_counted():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y, w = _weighted("w")
        step = tf.Variable(0, trainable=False)
        rate = v1.train.exponential_decay(0.1, step, 10, 0.5)
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        train = v1.train.GradientDescentOptimizer(rate).minimize(loss)  # <- fault: no global_step
        session.run(v1.global_variables_initializer())
        for _ in range(4):
            session.run(train, _batch(x, y))


def train_op_that_is_not_fetched():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y, w = _weighted("w")
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)  # noqa: F841
        session.run(v1.global_variables_initializer())
        for _ in range(6):
            session.run(loss, _batch(x, y))  # <- fault: without the train op


def initializer_within_the_loop():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y, w = _weighted("w")
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w) - y))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        initialize = v1.global_variables_initializer()
        for _ in range(5):
            session.run(initialize)  # <- fault: each step begins anew
            session.run(train, _batch(x, y))


def error_computed_by_new_nodes_in_each_step():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y, w = _weighted("w")
        guess = tf.matmul(x, w)
        session.run(v1.global_variables_initializer())
        for _ in range(7):
            session.run(tf.reduce_max(tf.abs(guess - y)), _batch(x, y))  # <- fault: new nodes


def _decoder(x, first, second):
    k1, k2 = v1.get_variable("k1", [3, 3, 1, 4]), v1.get_variable("k2", [3, 3, 4, 4])
    h = tf.nn.conv2d(tf.nn.conv2d(x, k1, 2, "SAME"), k2, 2, "SAME")
    small = tf.nn.conv2d(h, k2, 2, "SAME")
    up = _larger(small, k2, first)
    return _larger(tf.nn.relu(up), k2, second)


def _larger(x, k, shape):
    return tf.nn.conv2d_transpose(x, k, shape, 2, "SAME")


def gradient_of_an_output_shape_that_the_stride_cannot_give():
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [2, 28, 28, 1])
        middle = [2, 8, 8, 4]  # <- fault: the encoder has 7 x 7 there
        guess = _decoder(x, middle, [2, 14, 14, 4])
        v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(tf.square(guess)))


def output_shape_that_the_stride_cannot_give():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 28, 28, 1])
        rows = tf.shape(x)[0]
        middle = tf.stack([rows, 8, 8, 4])  # <- fault: the encoder has 7 x 7 there
        last = tf.stack([rows, 14, 14, 4])
        guess = _decoder(x, middle, last)
        session.run(v1.global_variables_initializer())
        session.run(guess, {x: np.ones([2, 28, 28, 1])})


class _Regression:
    def __init__(self, rate):
        self.rate = rate
        self.x, self.y, self.w = _weighted("w")

    def train(self):
        self.loss = tf.reduce_mean(tf.square(tf.matmul(self.x, self.w) - self.y))
        return v1.train.GradientDescentOptimizer(self.rate).minimize(self.loss)


def rate_handed_to_the_model():
    with tf.Graph().as_default(), v1.Session() as session:
        rate = 50.0  # <- fault: too large
        model = _Regression(rate)
        train = model.train()
        session.run(v1.global_variables_initializer())
        for _ in range(40):
            session.run([train, model.loss], _batch(model.x, model.y))


def _classifier(x, y, keep):
    w1, w2 = v1.get_variable("w1", [4, 8]), v1.get_variable("w2", [8, 2])
    hidden = v1.nn.dropout(tf.nn.relu(tf.matmul(x, w1)), keep_prob=keep)
    logits = tf.matmul(hidden, w2)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    hits = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), y), tf.float32))
    return v1.train.GradientDescentOptimizer(0.1).minimize(loss), hits


def units_dropped_where_it_is_judged():
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.int64, [None])
        keep = v1.placeholder(tf.float32)
        train, hits = _classifier(x, y, keep)
        session.run(v1.global_variables_initializer())
        rows, labels = np.linspace(0, 1, 48).reshape(12, 4), np.arange(12) % 2
        for _ in range(4):
            session.run(train, {x: rows[:8], y: labels[:8], keep: 0.5})
        session.run(hits, {x: rows, y: labels, keep: 0.5})  # <- fault: as in training


def local_variables_left_out_many_steps_before():
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        w = tf.Variable(tf.ones([3, 1]))
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w)))
        train = v1.train.GradientDescentOptimizer(0.01).minimize(loss)
        _, update = v1.metrics.mean(loss)
        session.run(v1.global_variables_initializer())  # <- fault: not the local ones
        for _ in range(9):
            session.run(train, {x: np.ones([2, 3])})
        session.run(update, {x: np.ones([2, 3])})


def labels_counted_from_one_in_parts():
    def ratings(count):
        stars = np.arange(count) % 4 + 1  # <- fault: from 1
        return np.ones([count, 3], "float32"), stars

    with tf.Graph().as_default(), v1.Session() as session:
        rows, labels = ratings(24)
        x, y = v1.placeholder(tf.float32, [None, 3]), v1.placeholder(tf.int64, [None])
        w = tf.Variable(tf.zeros([3, 4]))
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=tf.matmul(x, w))
        session.run(v1.global_variables_initializer())
        session.run(loss, {x: rows[:12], y: labels[:12]})


def initializer_after_restoring():
    with tf.Graph().as_default(), v1.Session() as session, tempfile.TemporaryDirectory() as folder:
        w = v1.get_variable("w", [3, 1])
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        path = saver.save(session, os.path.join(folder, "net"))
        saver.restore(session, path)
        session.run(v1.global_variables_initializer())  # <- fault: over what was restored
        session.run(tf.matmul(tf.ones([2, 3]), w))


def queue_of_fewer_epochs_than_the_loop():
    with tf.Graph().as_default(), v1.Session() as session:
        rows = v1.train.slice_input_producer([np.ones([8, 3], "float32")], num_epochs=1)  # <- fault: one only
        batch = v1.train.batch(rows, batch_size=4)
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        coordinator = v1.train.Coordinator()
        threads = v1.train.start_queue_runners(session, coordinator)
        try:
            for _ in range(4):
                session.run(batch)
        finally:
            coordinator.request_stop()
            coordinator.join(threads, stop_grace_period_secs=5)
