"""TensorFlow programs whose whole numbers stay in range, or wrap around as they are meant to."""

import numpy as np
import tensorflow as tf

from tests.diagnosis.given import given, images


@given((np.arange(1, 9), np.int32))
def hash_of_words(words):
    key = tf.constant(5381)
    for word in tf.unstack(words):
        key = key * 33 + word
    return key


@given((np.arange(1, 9), np.int64))
def buckets_by_a_large_factor(ids):
    return (ids * 2654435761 * 97531) % 1000


@given(([12345], np.int32))
def linear_congruence(state):
    found = []
    for _ in range(6):
        state = state * 1103515245 + 12345
        found.append(tf.bitwise.bitwise_and(tf.bitwise.right_shift(state, 16), 0x7FFF))
    return tf.cast(tf.concat(found, 0), tf.float32) / 32768


@given(([98765], np.int32))
def xorshift(state):
    for _ in range(4):
        state = tf.bitwise.bitwise_xor(state, tf.bitwise.left_shift(state, 13))
        state = tf.bitwise.bitwise_xor(state, tf.bitwise.right_shift(state, 17))
    return state


@given(([7, 9], np.uint32))
def rounds_of_a_cipher(words):
    for _ in range(3):
        words = words * np.uint32(0xD2511F53) + np.uint32(0x9E3779B9)
    return words


@given((np.arange(250, 258) % 256, np.uint8))
def checksum_of_bytes(data):
    checksum = tf.reduce_sum(data)
    return checksum / 1


@given((np.arange(60) * 37 % 256, np.uint8))
def differences_put_together_again(row):
    steps = row[1:] - row[:-1]
    return tf.cast(tf.cumsum(tf.concat([row[:1], steps], 0)), tf.float32)


@given(images(5), images(6))
def difference_that_is_chosen(before, now):
    change = tf.where(now > before, now - before, before - now)
    return tf.reduce_mean(tf.cast(change, tf.float32))


@given(images(5), images(6))
def frames_that_differ(before, now):
    return tf.reduce_mean(tf.cast(tf.not_equal(now - before, 0), tf.float32))


@given(images(7))
def image_in_floats(image):
    return tf.cast(tf.clip_by_value(tf.cast(image, tf.float32) * 2 - 255, 0, 255), tf.uint8)


@given((np.arange(12).reshape(3, 4), np.int32))
def attention_with_large_negatives(scores):
    return tf.reduce_max(tf.where(scores > 4, tf.int32.min, scores)), tf.reduce_max(scores)


@given(([3, -1, 2], np.int64))
def labels_with_a_mark(labels):
    kept = tf.cast(labels, tf.int32)
    return tf.where(kept == -1, 0, kept), tf.cast(labels, tf.uint8)


@given((np.arange(9), np.int32))
def positions_and_counts(tokens):
    positions = tf.range(tf.size(tokens)) * tokens + 7
    return tf.cumsum(positions), tf.reduce_sum(tokens), tf.reduce_prod(tokens), tokens**3, tokens // 3


@given((np.full(3000, 700_000), np.int32))
def large_sum_that_fits(amounts):
    return tf.reduce_sum(amounts), tf.add_n([amounts, amounts, amounts])


@given((np.linspace(0, 1, 48), np.float32))
def pixels_rounded(image):
    return (
        tf.cast(image * 255 + 0.5, tf.uint8),
        tf.cast(image * 2 - 1, tf.int8),
        tf.cast(tf.round(image), tf.int64),
    )


@given((np.arange(6), np.int32))
def loop_over_a_range(numbers):
    total = tf.constant(0)
    for i in tf.unstack(numbers):
        total = total + i * i
    return tf.cast(total, tf.float32)


@given(([4, 8, 9], np.int32))
def pages_and_halves(counts):
    total = tf.reduce_sum(counts)
    return (counts + 7) // 8, total // 7, 0.1 ** tf.cast(counts // 30, tf.float32), tf.reduce_mean(counts)


@given((np.ones(6), np.int32))
def all_of_them(flags):
    return tf.cast(tf.reduce_mean(flags), tf.float32), tf.reduce_sum(flags) // tf.size(flags)
