"""Every faulty program of Keras, tapes and traced functions has its marked line named first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tests.diagnosis import keras_clean, keras_faults, traced_faults
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs

KINDS = {
    "recurrent_layer_gives_its_last_step": "shape_mismatch",
    "branches_of_unlike_padding": "shape_mismatch",
    "shortcut_without_projection": "shape_mismatch",
    "images_never_flattened": "target_mismatch",
    "unbuilt_head_of_other_classes": "target_mismatch",
    "labels_from_one": "target_range",
    "loss_for_class_numbers": "target_mismatch",
    "metric_for_class_numbers": "target_mismatch",
    "train_step_with_turned_labels": "shape_mismatch",
    "weights_of_a_wider_layer": "checkpoint_mismatch",
    "fewer_labels_than_samples": "data_mismatch",
    "windows_and_what_follows_them": "data_mismatch",
    "class_numbers_in_a_column": "target_mismatch",
    "whole_model_frozen_for_its_new_head": "untrained_parameter",
    "generator_without_labels": "data_mismatch",
    "dataset_never_batched": "shape_mismatch",
    "dataset_batched_twice": "shape_mismatch",
    "ragged_samples_batched": "data_mismatch",
    "inputs_side_by_side": "data_mismatch",
    "loss_for_an_unknown_output": "data_mismatch",
    "optimizer_of_another_model": "wrong_argument",
    "session_for_the_default_graph": "other_graph",
    "reuse_of_a_variable_that_is_not_there": "variable_missing",
    "shared_variable_of_another_width": "shape_mismatch",
    "metric_without_local_variables": "uninitialized",
    "loop_variable_that_grows": "shape_mismatch",
    "argument_of_another_dtype_than_declared": "dtype_mismatch",
    "layer_made_in_a_function": "variable_late",
    "tape_used_twice": "backward_twice",
    "loss_after_the_tape": "no_gradient",
    "train_step_before_its_tape": "no_gradient",
    "gradient_of_none_passed_on": "no_gradient",
    "generator_of_other_shapes": "data_mismatch",
    "constant_of_another_dtype_in_a_function": "dtype_mismatch",
}


@pytest.fixture(autouse=True)
def _seeded():
    tf.random.set_seed(0)


@pytest.mark.parametrize("table", [keras_faults, traced_faults], ids=["keras", "traced"])
def test_every_kind_is_of_a_program(table):
    assert set(programs(table)) & set(KINDS)


@pytest.mark.parametrize("name", programs(keras_faults))
def test_the_marked_line_of_a_model_is_named_first(name, tmp_path):
    assert_named_first(keras_faults, name, KINDS.get(name), tmp_path)


@pytest.mark.parametrize("name", programs(traced_faults))
def test_the_marked_line_of_traced_code_is_named_first(name, tmp_path):
    assert_named_first(traced_faults, name, KINDS.get(name), tmp_path)


@pytest.mark.parametrize("name", programs(keras_clean))
def test_a_clean_model_is_not_accused(name):
    assert_not_accused(keras_clean, name)


_TWO_GRAPHS = """
import tensorflow as tf
v1 = tf.compat.v1
v1.disable_eager_execution()
graph = tf.Graph()
x = v1.placeholder(tf.float32, [None, 4])
with graph.as_default():
    tf.matmul(x, v1.get_variable("w", [4, 2]))
"""


def test_a_placeholder_of_the_default_graph_is_named_where_the_rest_is_in_another(tmp_path):
    """In a process of its own: eager execution can be switched off only before anything runs."""
    script = tmp_path / "two_graphs.py"
    script.write_text(_TWO_GRAPHS)
    command = [Path(sys.executable).with_name("graphdebug"), "run", str(script)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False).stderr
    assert "a node of another graph was used, born at two_graphs.py:6" in said
