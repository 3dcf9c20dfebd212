"""Every faulty torch program has its marked line named first; no clean one is accused."""

from __future__ import annotations

import pytest
import torch

from tests.diagnosis import torch_clean, torch_faults
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
    "view_for_transpose": "silent_fold",
    "lists_to_tensor": "unknown",
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", programs(torch_faults))
def test_the_marked_line_is_named_first(name, tmp_path):
    assert_named_first(torch_faults, name, KINDS.get(name), tmp_path)


@pytest.mark.parametrize("name", programs(torch_clean))
def test_a_clean_program_is_not_accused(name):
    assert_not_accused(torch_clean, name)
