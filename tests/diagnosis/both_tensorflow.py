"""The faults of both_torch.py, under the same names, as eager TensorFlow says them."""

import keras
import numpy as np
import tensorflow as tf


def _cross_entropy(labels, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def matmul_of_two_weights():
    first = tf.Variable(tf.random.normal([16, 24]))
    second = tf.Variable(tf.random.normal([32, 5]))  # <- fault: 24 expected
    x = tf.random.normal([7, 16])
    tf.matmul(tf.matmul(x, first), second)


def convolution_of_another_depth():
    images = tf.random.normal([2, 20, 20, 3])
    one = tf.Variable(tf.random.normal([3, 3, 3, 6]))
    two = tf.Variable(tf.random.normal([3, 3, 12, 8]))  # <- fault: 6 channels come
    tf.nn.conv2d(tf.nn.conv2d(images, one, 1, "VALID"), two, 1, "VALID")


def joined_along_the_wrong_axis():
    a = tf.random.normal([4, 6])
    b = tf.random.normal([4, 9])
    tf.concat([a, b], axis=0)  # <- fault: axis 1 was meant


def broadcast_of_other_sizes():
    scores = tf.random.normal([8, 10])
    scale = tf.ones([12])  # <- fault: 10 expected
    scores * scale


def reshape_to_other_elements():
    x = tf.random.normal([6, 7, 2])
    tf.reshape(x, [6, 15])  # <- fault: 14 elements a row


def gathered_out_of_range():
    table = tf.random.normal([20, 4])
    rows = tf.constant([0, 3, 20])  # <- fault: index
    tf.gather(table, rows)


def token_out_of_vocabulary():
    tokens = tf.constant([[1, 2, 50]])
    table = tf.Variable(tf.random.normal([50, 8]))  # <- fault: vocabulary
    tf.nn.embedding_lookup(table, tokens)


def loss_of_other_batches():
    w = tf.Variable(tf.random.normal([5, 3]))
    logits = tf.matmul(tf.random.normal([8, 5]), w)
    labels = tf.zeros([6], tf.int32)  # <- fault: 8 expected
    _cross_entropy(labels, logits)


def label_out_of_range():
    x = tf.random.normal([4, 5])
    head = tf.Variable(tf.random.normal([5, 3]))  # <- fault: classes
    _cross_entropy([0, 1, 2, 3], tf.matmul(x, head))


def reshape_folds_the_batch():
    x = tf.random.normal([6, 20, 20, 1])
    labels = tf.zeros([6], tf.int32)
    rows = tf.reshape(x, [-1, 100])  # <- fault: 400 a sample
    logits = tf.matmul(rows, tf.Variable(tf.random.normal([100, 4])))
    _cross_entropy(labels, logits)


def reshape_folds_and_never_fails():
    x = tf.random.normal([10, 12, 12, 3])
    rows = tf.reshape(x, [-1, 240])  # <- fault: 432 a sample
    tf.argmax(tf.matmul(rows, tf.Variable(tf.random.normal([240, 4]))), 1)


def log_of_zero():
    w = tf.Variable([0.0, 1.0, 2.0])
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(tf.math.log(w))  # <- fault: log
    tape.gradient(loss, w)


def square_root_at_zero():
    w = tf.Variable(tf.zeros([4]))
    with tf.GradientTape() as tape:
        d = tf.sqrt(w * w)  # <- fault: sqrt
        loss = tf.reduce_sum(d)
    tape.gradient(loss, w)


def division_by_zero():
    w = tf.Variable(tf.ones([3]))
    total = tf.constant([1.0, 0.0, 2.0])
    with tf.GradientTape() as tape:
        ratio = w / total  # <- fault: division
        loss = tf.reduce_sum(ratio)
    tape.gradient(loss, w)


def exponential_overflows():
    w = tf.Variable([1.0, 200.0])
    with tf.GradientTape() as tape:
        p = tf.exp(w)  # <- fault: exp
        loss = tf.reduce_sum(p / tf.reduce_sum(p))
    tape.gradient(loss, w)


def hidden_by_where():
    w = tf.Variable([0.0, 4.0])
    with tf.GradientTape() as tape:
        y = tf.where(w > 0, tf.math.log(w), 0.0)  # <- fault: log hidden
        loss = tf.reduce_sum(y)
    print(tape.gradient(loss, w))


def not_finite_in_the_data():
    w = tf.Variable(tf.ones([2, 1]))
    x = tf.constant([[1.0, float("nan")]])  # <- fault: data
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.matmul(x, w))
    tape.gradient(loss, w)


def float64_data():
    w = tf.Variable(tf.random.normal([3, 2]))
    x = tf.constant(np.ones([4, 3]))  # <- fault: float64
    tf.matmul(x, w)


def bytes_below_zero():
    pixels = tf.constant(np.arange(200).reshape(2, 100), tf.uint8)
    centred = pixels - 128  # <- fault: wraps
    tf.reduce_mean(tf.cast(centred, tf.float32))


def bytes_divided_whole():
    pixels = tf.constant(np.arange(200).reshape(2, 100), tf.uint8)
    scaled = pixels // 255  # <- fault: all 0
    tf.reduce_mean(tf.cast(scaled, tf.float32))


def column_against_row():
    head = tf.Variable(tf.random.normal([3, 1]))
    x, truth = tf.random.normal([9, 3]), tf.random.uniform([9])
    with tf.GradientTape() as tape:
        guess = tf.matmul(x, head)
        error = guess - truth  # <- fault: broadcast
        loss = tf.reduce_mean(error**2)
    tape.gradient(loss, head)


def softmax_over_the_batch():
    head = tf.Variable(tf.random.normal([6, 4]))
    scores = tf.matmul(tf.random.normal([9, 6]), head)
    p = tf.nn.softmax(scores, axis=0)  # <- fault: axis
    tf.reduce_max(p, 1)


def softmax_by_hand_over_the_batch():
    head = tf.Variable(tf.random.normal([6, 4]))
    with tf.GradientTape() as tape:
        powers = tf.exp(tf.matmul(tf.random.normal([9, 6]), head))
        p = powers / tf.reduce_sum(powers, 0, keepdims=True)  # <- fault: axis
        loss = tf.reduce_mean(-tf.math.log(p[:, 0]))
    tape.gradient(loss, head)


def softmax_before_the_loss():
    head = tf.Variable(tf.random.normal([6, 4]))
    p = tf.nn.softmax(tf.matmul(tf.random.normal([9, 6]), head))  # <- fault: twice
    _cross_entropy(tf.zeros([9], tf.int32), p)


def step_size_too_large():
    x = tf.random.stateless_normal([16, 2], [3, 4]) * 40
    w = tf.Variable(tf.zeros([2, 1]))
    opt = keras.optimizers.SGD(1.0)  # <- fault: step size
    for _ in range(30):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.matmul(x, w) - tf.reduce_sum(x, 1, keepdims=True)) ** 2)
        opt.apply_gradients([(tape.gradient(loss, w), w)])
