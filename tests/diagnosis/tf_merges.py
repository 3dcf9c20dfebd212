"""Legitimate merges and splits of the batch in TensorFlow, near misses of a fold: none may be accused.

Each function takes nothing and builds or runs, so that one text serves eager code and graphs.
"""

import numpy as np
import tensorflow as tf

_GENERATOR = np.random.default_rng(0)


def _data(*shape):
    """Random data: a tensor in eager code, a placeholder of unknown batch in a graph."""
    values = _GENERATOR.normal(size=shape).astype(np.float32)
    if tf.executing_eagerly():
        return tf.constant(values)
    return tf.compat.v1.placeholder_with_default(values, [None, *shape[1:]])


def _dense(x, units):
    weights = tf.Variable(_GENERATOR.normal(size=[x.shape[-1], units]).astype(np.float32))
    return tf.matmul(x, weights)


def _cross_entropy(labels, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def batch_and_time():
    logits = _dense(tf.reshape(_data(4, 6, 8), [-1, 8]), 7)
    return _cross_entropy(tf.reshape(tf.zeros([4, 6], tf.int32), [-1]), logits)


def time_split_again():
    return tf.reshape(_dense(tf.reshape(_data(4, 6, 8), [-1, 8]), 5), [-1, 6, 5])


def heads():
    queries = tf.transpose(tf.reshape(_data(4, 6, 12), [-1, 6, 3, 4]), [0, 2, 1, 3])
    mixed = tf.matmul(tf.nn.softmax(tf.matmul(queries, queries, transpose_b=True)), queries)
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, 6, 12])


def heads_into_the_batch():
    return _dense(tf.reshape(_data(4, 6, 12), [-1, 4]), 2)


def heads_merged_with_the_batch():
    queries = tf.transpose(tf.reshape(_data(4, 6, 12), [-1, 6, 3, 4]), [0, 2, 1, 3])
    merged = tf.reshape(queries, [-1, 6, 4])
    return tf.matmul(merged, merged, transpose_b=True)


def patches():
    parts = tf.reshape(_data(2, 8, 8, 3), [-1, 2, 4, 2, 4, 3])
    return _dense(tf.reshape(tf.transpose(parts, [0, 1, 3, 2, 4, 5]), [-1, 4 * 4 * 3]), 5)


def frames_of_video_as_images():
    frames = tf.reshape(_data(2, 5, 8, 8, 3), [-1, 8, 8, 3])
    kernel = tf.Variable(tf.ones([3, 3, 3, 4]))
    maps = tf.nn.conv2d(frames, kernel, 1, "VALID")
    return tf.reduce_mean(tf.reshape(_dense(tf.reshape(maps, [-1, 4 * 36]), 2), [-1, 5, 2]), 1)


def channels_as_samples():
    return _dense(tf.reshape(tf.transpose(_data(4, 8, 8, 6), [0, 3, 1, 2]), [-1, 64]), 3)


def pairs_of_samples():
    return _dense(tf.reshape(_dense(_data(8, 3), 5), [-1, 10]), 1)


def anchors_of_a_detector():
    boxes = tf.reshape(_data(2, 5, 5, 12), [-1, 75, 4])
    return tf.reduce_mean(tf.abs(tf.reshape(boxes, [-1, 4]) - tf.zeros([150, 4])))


def pixel_classes():
    scores = _dense(tf.reshape(_data(2, 6, 6, 3), [-1, 3]), 7)
    return _cross_entropy(tf.zeros([72], tf.int32), scores)


def ensemble_repeated():
    scores = _dense(tf.tile(_data(4, 6), [5, 1]), 3)
    return tf.reduce_mean(tf.reshape(scores, [5, -1, 3]), 0)


def channel_shuffle():
    groups = tf.reshape(_data(2, 6, 6, 8), [-1, 6, 6, 2, 4])
    return tf.reshape(tf.transpose(groups, [0, 1, 2, 4, 3]), [-1, 6, 6, 8])


def single_channel_flattened():
    return _dense(tf.reshape(_data(4, 6, 6, 1), [-1, 36]), 2)


def windows_of_a_signal():
    return _dense(tf.reshape(_data(4, 60, 1), [-1, 20, 1])[:, :, 0], 3)
