"""What a report advises agrees with the line it names first, and says what the user wrote."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

from tests.diagnosis.programs import recorded


def _first(program):
    run, error = recorded(program)
    assert run.findings, error
    return run.findings[0]


def _gray_image_to_a_color_layer():
    layer = nn.Conv2d(3, 8, 3)
    layer(torch.stack([torch.rand(1, 12, 12) for _ in range(4)]))


def _gray_image_after_color_images():
    layer = nn.Conv2d(3, 8, 3)
    for channels in (3, 1):
        layer(torch.stack([torch.rand(channels, 12, 12) for _ in range(4)]))


@pytest.mark.parametrize(
    ("program", "role", "advice"),
    [
        (_gray_image_to_a_color_layer, "declaration", "declare it for 1"),
        (_gray_image_after_color_images, "input", "give it 3 channels or declare it for 1"),
    ],
)
def test_the_advice_begins_with_the_line_named_first(program, role, advice):
    found = _first(program)
    assert found.candidates[0].role == role
    assert f"try: {advice}" in found.text


def test_what_an_activation_keeps_is_told_by_its_own_word():
    def program():
        gate = torch.sigmoid(nn.Linear(3, 4)(torch.randn(2, 3)))
        gate *= 2.0
        gate.sum().backward()

    found = _first(program)
    assert found.kind == "inplace_change"
    assert "sigmoid" in found.text
    assert "detach" not in found.text


def test_a_batched_product_of_two_variables_is_no_layer():
    def program():
        matrix = tf.Variable(tf.ones([6, 3]))
        stack = tf.Variable(tf.ones([3, 5, 2]))
        tf.matmul(matrix, stack)

    found = _first(program)
    assert found.candidates[0].role == "expression"
    assert "features" not in found.text
    assert "tensordot" in found.text


def test_a_list_of_tensors_is_to_be_stacked():
    def program():
        rows = [torch.tanh(torch.randn(3)) for _ in range(4)]
        torch.tensor(rows)

    found = _first(program)
    assert found.kind == "wrong_argument"
    assert "rows is a list of 4 tensors of (3,)" in found.text
    assert "try: stack them" in found.text


def test_advice_about_a_logarithm_is_no_call_of_one_framework():
    def program():
        tf.math.log(tf.nn.relu(tf.constant([-1.0, 2.0])))

    found = _first(program)
    assert "log(max(x, eps))" in found.text


def test_an_axis_that_a_lookup_brought_is_laid_to_the_lookup():
    @tf.function
    def model(words, labels, table, weight):
        found = tf.gather(table, words)
        scores = tf.matmul(found, weight)
        return tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=scores)

    def program():
        table, weight = tf.Variable(tf.ones([20, 6])), tf.Variable(tf.ones([6, 4]))
        model(tf.zeros([3, 7], tf.int32), tf.eye(3, 4), table, weight)

    found = _first(program)
    assert found.kind == "target_mismatch"
    with open(__file__, encoding="utf-8") as source:
        assert "tf.gather(table, words)" in source.readlines()[found.site.line - 1]
    assert "kept the axes 7" in found.text.replace("(7,)", "7")


def test_a_dense_layer_made_for_channels_alone_is_told_to_keep_the_axes_before():
    def program():
        layers = tf.keras.layers
        model = tf.keras.Sequential()
        model.add(layers.Input((12, 12, 2)))
        model.add(layers.Conv2D(6, 3))
        model.add(layers.Dense(9))
        model.add(layers.Dense(3, activation="softmax"))
        model.compile("sgd", "categorical_crossentropy")
        model.fit(np.zeros((4, 12, 12, 2), "float32"), np.eye(4, 3), verbose=0)

    found = _first(program)
    assert found.kind == "target_mismatch"
    with open(__file__, encoding="utf-8") as source:
        assert "Dense(9)" in source.readlines()[found.site.line - 1]
    assert "class number" not in found.text


def test_values_that_came_out_of_a_pipeline_not_finite_are_laid_to_the_data():
    def program():
        model = tf.keras.Sequential([tf.keras.layers.Input((2,)), tf.keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        data = np.ones((6, 2), "float32")
        data[3, 1] = np.nan
        model.fit(data, np.ones(6, "float32"), batch_size=3, shuffle=False, verbose=0)

    found = _first(program)
    assert found.kind == "nonfinite"
    assert "the data are not finite as the pipeline gives them" in found.text
    assert "finite inputs" not in found.text
    assert "hid it" not in found.text  # the labels are another output of the same node, and finite
    assert "try: look for NaN in the data" in found.text


def test_a_run_that_waits_for_a_queue_whose_runner_was_not_started():
    v1 = tf.compat.v1

    def program():
        with tf.Graph().as_default():
            one = v1.train.slice_input_producer([np.ones((5, 2), "float32")])
            batch = v1.train.batch(one, 2)
            with v1.Session(config=v1.ConfigProto(operation_timeout_in_ms=500)) as session:
                session.run(tf.reduce_sum(batch))

    found = _first(program)
    assert found.kind == "starved"
    assert "start_queue_runners" in found.text
