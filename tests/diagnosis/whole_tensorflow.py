"""TensorFlow programs whose whole numbers leave the range of their type: ``# <- fault`` marks the op.

Each runs eagerly, as a function and in a session.
"""

import numpy as np
import tensorflow as tf

from tests.diagnosis.given import given, images


@given(images(0), images(1))
def two_images_added(one, other):
    both = one + other  # <- fault: 200 + 100 is 44
    return tf.reduce_mean(tf.cast(both, tf.float32))


@given(images(2))
def an_image_made_brighter(image):
    bright = image + 60  # <- fault
    return tf.minimum(bright, 255)


@given(images(3))
def contrast_in_bytes(image):
    return tf.cast(image * 2, tf.float32) / 255  # <- fault


@given(images(4))
def energy_of_an_image(image):
    energy = image * image  # <- fault: up to 255 squared
    return tf.reduce_sum(tf.cast(energy, tf.float32))


@given(images(5), images(6))
def difference_of_frames(before, now):
    change = now - before  # <- fault: below zero
    return tf.reduce_mean(tf.abs(tf.cast(change, tf.float32)))


@given((list(range(1, 16)), np.int32))
def factorial_in_a_loop(numbers):
    total = tf.ones((), tf.int32)
    for n in range(1, 15):
        total = total * numbers[n - 1]  # <- fault: 13! is beyond int32
    return total


@given((list(range(1, 16)), np.int32))
def product_of_all(numbers):
    return tf.reduce_prod(numbers)  # <- fault: 15! is beyond int32


@given(([60_000, 70_000, 80_000], np.int32))
def squares_of_large_numbers(widths):
    return tf.sqrt(tf.cast(tf.square(widths), tf.float32))  # <- fault


@given(([60_000, 70_000, 80_000], np.int32))
def powers_of_large_numbers(widths):
    return tf.cast(widths**2, tf.float32)  # <- fault


@given((np.full(3000, 1_000_000), np.int32))
def sum_of_int32(amounts):
    total = tf.reduce_sum(amounts)  # <- fault: 3e9
    return total / tf.size(amounts)


@given((np.arange(12).reshape(3, 4) * 100_000_000, np.int32))
def sums_by_rows(amounts):
    return tf.reduce_sum(amounts, axis=1)  # <- fault


@given((np.full(3000, 1_000_000), np.int32))
def running_sum_of_int32(amounts):
    balance = tf.cumsum(amounts)  # <- fault
    return balance[-1]


@given(([3, 50, 49], np.int32), ([86_400_000], np.int32))
def days_in_milliseconds(days, per_day):
    times = days * per_day  # <- fault: 50 days are beyond int32
    return tf.cast(times, tf.float64) / 1000


@given(([1_700_000_000_123, 1_700_000_111_456], np.int64))
def stamps_put_into_int32(stamps):
    short = tf.cast(stamps, tf.int32)  # <- fault
    return short - short[0]


@given((np.linspace(0, 1.2, 48), np.float32))
def pixels_scaled_without_a_clamp(image):
    shown = tf.cast(image * 255, tf.uint8)  # <- fault: up to 306
    return tf.reduce_mean(tf.cast(shown, tf.float32))


@given(([3.0e9, 12.0], np.float32))
def large_float_to_int32(sizes):
    return tf.cast(sizes, tf.int32) // 2  # <- fault


@given((np.full((2, 40), 30), np.int8))
def a_mean_in_int8(levels):
    total = tf.reduce_sum(levels, 1)  # <- fault
    return tf.cast(total, tf.float32) / 40


@given(([2**40, 2**41], np.int64), ([2**30, 2**31], np.int64))
def product_beyond_int64(rows, columns):
    cells = rows * columns  # <- fault
    return tf.cast(cells, tf.float64)


@given((np.full((4, 5), 50_000), np.int32), (np.full((5, 3), 30_000), np.int32))
def product_of_matrices(one, other):
    return tf.cast(one @ other, tf.float32)  # <- fault


@given(([200, 210, 220], np.uint8), ([100, 90, 80], np.uint8))
def mean_of_two_bytes(one, other):
    middle = (one + other) // 2  # <- fault
    return tf.cast(middle, tf.float32)


@given(([-128, 5], np.int8))
def size_of_the_least_number(levels):
    return tf.cast(tf.abs(levels), tf.float32)  # <- fault: 128 is beyond int8


@given((np.arange(20_000), np.int32))
def many_numbers_scaled(ids):
    return tf.cast(ids * 200_000, tf.float32)  # <- fault


@given(([5, 300, 7], np.int64))
def labels_kept_in_bytes(labels):
    kept = tf.cast(labels, tf.uint8)  # <- fault: 300 is another class then
    return tf.one_hot(tf.cast(kept, tf.int32), 301)


@given(([1, 0, 1, 2], np.int64), ([1, 1, 1, 2], np.int64))
def accuracy_in_whole_numbers(guess, labels):
    correct = tf.reduce_sum(tf.cast(tf.equal(guess, labels), tf.int32))
    return correct // tf.size(labels)  # <- fault: 3 of 4 are 0


@given(([1, 0, 1, 1, 0], np.int32))
def mean_of_flags_in_whole_numbers(flags):
    return tf.reduce_mean(flags)  # <- fault: 0


@given(([1, 2, 4], np.int32))
def mean_of_scores_in_whole_numbers(scores):
    mean = tf.reduce_mean(scores)  # <- fault: 2.33 becomes 2
    return tf.cast(scores, tf.float32) - tf.cast(mean, tf.float32)
