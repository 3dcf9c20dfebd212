"""Everyday programs for sessions and with Keras: the marked line is named first, right ones are not accused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tests.diagnosis import (
    keras_everyday,
    keras_everyday_clean,
    tf1_everyday,
    tf1_everyday_clean,
    tf2_everyday,
    tf2_everyday_clean,
)
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs

KINDS = {
    "write_outside_of_its_branch": "runs_always",
    "iterator_without_its_initializer": "uninitialized",
    "labels_of_classes_by_samples": "shape_mismatch",
    "product_of_sizes_given_to_a_helper": "shape_mismatch",
    "rate_in_a_flag": "divergence",
    "batched_class_numbers_against_a_dense_loss": "target_mismatch",
    "softmax_asked_of_a_helper": "double_activation",
    "sigmoid_before_a_loss_on_logits": "double_activation",
    "skip_joined_along_the_batch": "shape_mismatch",
    "last_step_taken_off_the_batch": "shape_mismatch",
    "images_that_whole_numbers_left_black": "blank_data",
    "constant_column_standardized": "nonfinite",
    "images_with_their_channels_first_are_fed": "feed_shape",
    "class_numbers_are_fed_for_one_hot": "feed_shape",
    "train_op_that_a_function_keeps": "no_value",
    "steps_taken_apart_along_the_batch": "shape_mismatch",
    "rows_taken_apart_for_steps": "shape_mismatch",
    "pool_of_another_stride_than_its_fellow": "silent_fold",
    "one_score_against_labels_of_two": "target_mismatch",
    "labels_below_a_relu": "out_of_reach",
    "weights_of_the_steps_add_up_over_the_batch": "wrong_axis",
    "optimizer_of_the_other_network": "untrained_parameter",
    "table_without_a_row_for_the_mark": "index_range",
    "all_variables_chosen_to_be_restored": "checkpoint_mismatch",
}


KERAS_KINDS = {
    "labels_below_the_relu_of_the_last_layer": "out_of_reach",
    "labels_in_the_place_of_the_images": "shape_mismatch",
    "positions_of_half_the_width": "shape_mismatch",
    "table_of_fewer_words_than_the_reader_knows": "index_range",
    "loss_computed_in_numpy": "no_gradient",
    "skip_of_an_image_that_does_not_halve": "shape_mismatch",
    "loss_on_scores_for_class_numbers": "target_mismatch",
    "one_unit_for_five_classes": "target_range",
    "step_that_throws_the_loss_far_away": "divergence",
    "attribute_that_takes_a_plain_tensor": "no_gradient",
    "windows_that_are_cut_short": "data_mismatch",
    "norm_that_is_never_in_training": "wrong_mode",
    "dropout_that_is_never_in_training": "wrong_mode",
}


TWO_KINDS = {
    "weights_in_a_dict": "shape_mismatch",
    "bias_of_another_width_in_a_traced_loop": "shape_mismatch",
    "second_stack_of_a_factory": "shape_mismatch",
    "shapes_in_a_list": "shape_mismatch",
    "every_recurrent_layer_gives_its_steps": "target_mismatch",
    "words_never_pooled": "target_mismatch",
    "axis_kept_by_a_pooling_layer": "target_mismatch",
    "accuracy_for_a_loss": "no_gradient",
    "masks_made_whole_in_the_loss": "no_gradient",
    "first_weight_cut_off_by_numpy": "no_gradient",
    "one_of_two_variables_replaced": "no_gradient",
    "variable_that_counts_on_as_a_tensor": "plain_python",
    "item_assigned_in_a_layer": "plain_python",
    "value_asked_of_a_symbolic_tensor": "plain_python",
    "numpy_in_a_lambda": "plain_python",
    "sums_of_gradients_in_variables": "uncleared_gradient",
    "sums_of_gradients_as_they_come": "uncleared_gradient",
    "maps_joined_along_their_height": "shape_mismatch",
    "weights_of_a_narrower_model": "checkpoint_mismatch",
}


@pytest.fixture(autouse=True)
def _seeded():
    tf.random.set_seed(0)


@pytest.mark.parametrize("name", programs(tf1_everyday))
def test_the_marked_line_of_an_everyday_session_is_named_first(name, tmp_path):
    assert_named_first(tf1_everyday, name, KINDS[name], tmp_path)


@pytest.mark.parametrize("name", programs(tf1_everyday_clean))
def test_a_right_everyday_session_is_not_accused(name):
    assert_not_accused(tf1_everyday_clean, name)


@pytest.mark.parametrize("name", programs(keras_everyday))
def test_the_marked_line_of_an_everyday_model_is_named_first(name, tmp_path):
    assert_named_first(keras_everyday, name, KERAS_KINDS[name], tmp_path)


@pytest.mark.parametrize("name", programs(keras_everyday_clean))
def test_a_right_everyday_model_is_not_accused(name):
    assert_not_accused(keras_everyday_clean, name)


@pytest.mark.parametrize("name", programs(tf2_everyday))
def test_the_marked_line_of_an_everyday_tape_is_named_first(name, tmp_path):
    assert_named_first(tf2_everyday, name, TWO_KINDS[name], tmp_path)


@pytest.mark.parametrize("name", programs(tf2_everyday_clean))
def test_a_right_everyday_tape_is_not_accused(name):
    assert_not_accused(tf2_everyday_clean, name)


def test_a_default_graph_that_is_put_away_midway_is_named_first():
    finished = subprocess.run(
        [sys.executable, "-c", _PUT_AWAY], capture_output=True, text=True, check=False, timeout=300,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    kind, line = finished.stdout.splitlines()[-1].split(" ", 1)
    assert kind == "other_graph"
    assert "reset_default_graph" in line


_PUT_AWAY = """
import tensorflow as tf
tf.compat.v1.disable_eager_execution()
from tests.diagnosis import tf1_put_away
from tests.diagnosis.programs import recorded
run, error = recorded(tf1_put_away.build)
assert isinstance(error, ValueError), error
print(run.findings[0].kind, run.findings[0].text.splitlines()[1])
"""
