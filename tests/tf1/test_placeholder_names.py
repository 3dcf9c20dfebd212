"""Placeholders without names of their own, several of one line: reports tell them apart."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def made():
    return tf1.placeholder(tf.float32, [None])


def of_one_line():
    x, y = tf1.placeholder(tf.float32, [None]), tf1.placeholder(tf.float32, [None])
    return x, y, ("x", "y")


def of_a_comprehension():
    x, y = [tf1.placeholder(tf.float32, [None]) for _ in range(2)]
    return x, y, ("x", "y")


def of_a_list():
    inputs = [tf1.placeholder(tf.float32, [None]) for _ in range(2)]
    return inputs[0], inputs[1], ("inputs[0]", "inputs[1]")


def of_a_helper():
    x = made()
    y = made()
    return x, y, ("x", "y")


def of_a_helper_called_twice_on_a_line():
    x, y = made(), made()
    return x, y, ("x", "y")


def of_a_dict():  # no name can be told: TensorFlow's own
    parts = {key: made() for key in "ab"}
    return parts["a"], parts["b"], ("Placeholder:0", "Placeholder_1:0")


WAYS = [
    of_one_line, of_a_comprehension, of_a_list, of_a_helper, of_a_helper_called_twice_on_a_line, of_a_dict,
]  # fmt: skip


def report_of(way, *, feed_both):
    with (
        pytest.raises(tf.errors.InvalidArgumentError) as caught, graphdebug.record() as run,
        tf.Graph().as_default(), tf1.Session() as session,
    ):  # fmt: skip
        first, second, names = way()
        feeds = {first: np.ones(3), second: np.ones(2)} if feed_both else {first: np.ones(3)}
        session.run(first + second, feeds)
    assert not run.tool_errors
    return caught.value.__notes__[0], names


@pytest.mark.parametrize("way", WAYS)
def test_each_operand_has_the_name_that_the_users_line_gives_it(way):
    report, names = report_of(way, feed_both=True)
    sources = [
        line.partition("<- feed ")[2].partition(",")[0] for line in report.splitlines() if "<- feed" in line
    ]
    assert sources == list(names), report


@pytest.mark.parametrize("way", WAYS)
def test_the_one_that_was_not_fed_is_told_from_the_other(way):
    report, names = report_of(way, feed_both=False)
    (declared,) = [line for line in report.splitlines() if "was declared at" in line]
    assert names[1].removesuffix(":0") in declared
    assert "Placeholder_1" in declared
