"""Integer results that go beyond their type and are then taken as numbers: ``# <- fault`` marks the op."""

import tensorflow as tf
import torch


def torch_product():
    pixels = torch.full((4, 6), 100, dtype=torch.uint8)
    scaled = pixels * 3  # <- fault: 300 is beyond uint8
    scaled.float().mean()


def torch_sum():
    a = torch.full((8,), 100, dtype=torch.int8)
    both = a + a  # <- fault: 200 is beyond int8
    both.float().mean()


def torch_int32():
    n = torch.tensor([2_000_000_000, 5], dtype=torch.int32)
    twice = n * 2  # <- fault
    twice.double().mean()


def tf_product():
    pixels = tf.fill([4, 6], tf.constant(100, tf.uint8))
    scaled = pixels * 3  # <- fault: 300 is beyond uint8
    tf.reduce_mean(tf.cast(scaled, tf.float32))


def tf_sum():
    a = tf.fill([8], tf.constant(100, tf.int8))
    both = a + a  # <- fault: 200 is beyond int8
    tf.reduce_mean(tf.cast(both, tf.float32))
