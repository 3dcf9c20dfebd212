"""Every faulty torch program has its marked line named first; no clean one is accused."""

from __future__ import annotations

import pytest
import torch

from tests.diagnosis import torch_clean, torch_configured, torch_faults, torch_trained, torch_trained_clean
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs

KINDS = {
    "dense_for_another_image": "shape_mismatch",
    "fold_fails_in_loss": "silent_fold",
    "fold_never_fails": "silent_fold",
    "fold_split_fails_in_loss": "silent_fold",
    "logits_of_wrong_width": "target_mismatch",
    "log_of_zero": "nonfinite",
    "square_root_at_zero": "nonfinite",
    "masked_log": "nonfinite",
    "exp_overflows": "nonfinite",
    "step_size_too_large": "divergence",
    "nan_in_data": "nonfinite",
    "in_place_change": "inplace_change",
    "leaf_in_place": "inplace_leaf",
    "float64_input": "dtype_mismatch",
    "float_labels": "target_mismatch",
    "label_out_of_range": "target_range",
    "token_out_of_vocabulary": "index_range",
    "backward_twice": "backward_twice",
    "loss_without_graph": "no_gradient",
    "column_against_row": "unintended_broadcast",
    "softmax_over_batch": "wrong_axis",
    "softmax_twice": "double_activation",
    "probabilities_for_their_logarithms": "not_probabilities",
    "scores_for_log_probabilities": "not_probabilities",
    "view_for_transpose": "silent_fold",
    "lists_to_tensor": "wrong_argument",
}

TRAINED = {
    "layers_in_a_plain_list": "untrained_parameter",
    "loss_made_anew": "no_gradient",
    "two_optimizers_of_one_model": "untrained_parameter",
    "batch_taken_for_time": "shape_mismatch",
    "state_for_the_batch_before_time": "shape_mismatch",
    "state_in_another_order": "shape_mismatch",
    "one_instance_of_a_block": "shape_mismatch",
    "sequence_moved_to_a_device": "shape_mismatch",
    "one_image_without_its_batch": "shape_mismatch",
    "one_hot_labels_from_a_loader": "target_mismatch",
    "class_numbers_with_a_channel": "target_mismatch",
    "parameter_of_another_dtype": "dtype_mismatch",
    "joined_along_the_batch": "shape_mismatch",
    "state_carried_over": "backward_twice",
    "noise_without_its_image": "shape_mismatch",
    "norm_over_the_last_axis": "shape_mismatch",
    "nan_refused_by_a_distribution": "nonfinite",
    "whole_division_of_a_range": "integer_division",
    "layer_of_a_captured_graph": "shape_mismatch",
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", programs(torch_faults))
def test_the_marked_line_is_named_first(name, tmp_path):
    assert_named_first(torch_faults, name, KINDS.get(name), tmp_path)


@pytest.mark.parametrize("name", programs(torch_configured))
def test_the_line_of_a_configuration_that_set_a_size_is_named_first(name, tmp_path):
    assert_named_first(torch_configured, name, None, tmp_path)


@pytest.mark.parametrize("name", programs(torch_clean))
def test_a_clean_program_is_not_accused(name):
    assert_not_accused(torch_clean, name)


@pytest.mark.parametrize("name", TRAINED)
def test_the_marked_line_of_a_training_program_is_named_first(name, tmp_path):
    assert_named_first(torch_trained, name, TRAINED[name], tmp_path)


def test_each_training_program_has_its_kind():
    assert set(programs(torch_trained)) == set(TRAINED)


@pytest.mark.parametrize("name", programs(torch_trained_clean))
def test_a_clean_training_program_is_not_accused(name):
    assert_not_accused(torch_trained_clean, name)
