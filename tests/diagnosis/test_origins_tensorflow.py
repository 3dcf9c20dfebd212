"""Sizes, functions and arrays of session programs are followed to the line that wrote them."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.diagnosis import tf1_origins, tf1_origins_clean
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs

KINDS = {
    "width_in_a_row_of_a_table": "shape_mismatch",
    "flat_size_computed_where_the_object_is_made": "silent_fold",
    "classes_counted_by_a_set_of_names": "target_range",
    "units_of_a_settings_object": "shape_mismatch",
    "size_of_the_layer_after_in_a_named_tuple": "shape_mismatch",
    "flatten_as_large_as_a_matrix_of_another_image": "shape_mismatch",
    "softmax_in_a_table_of_layers": "double_activation",
    "softmax_by_its_name": "double_activation",
    "weights_that_a_helper_begins_at_zero": "zero_weights",
    "whole_numbers_in_a_pipeline": "dtype_mismatch",
    "doubles_of_the_second_of_two_sets": "dtype_mismatch",
    "placeholder_as_channels_that_lie_first": "shape_mismatch",
    "mean_over_the_features": "shape_mismatch",
    "padding_told_to_a_helper": "shape_mismatch",
    "units_dropped_by_a_constant_of_the_class": "wrong_mode",
    "initializer_of_every_epoch": "growing_graph",
    "distance_of_equal_points": "nonfinite",
    "softmax_over_one_column": "wrong_axis",
    "loss_of_what_was_rounded": "missing_gradient",
    "rows_by_a_property": "shape_mismatch",
    "rows_told_to_a_lambda": "shape_mismatch",
    "rows_of_words_that_are_spread": "shape_mismatch",
    "rows_that_an_inner_function_reads": "shape_mismatch",
}


@pytest.fixture(autouse=True)
def _seeded():
    tf.random.set_seed(0)


@pytest.mark.parametrize("name", programs(tf1_origins))
def test_the_line_that_wrote_what_a_session_shows_far_away_is_named_first(name, tmp_path):
    assert_named_first(tf1_origins, name, KINDS[name], tmp_path)


@pytest.mark.parametrize("name", programs(tf1_origins_clean))
def test_right_programs_like_them_are_not_accused(name):
    assert_not_accused(tf1_origins_clean, name)
