"""One fault gives one kind of finding in PyTorch and in TensorFlow, on its line, live and from the file."""

from __future__ import annotations

import pytest
import tensorflow as tf
import torch

from tests.diagnosis import both_tensorflow, both_torch
from tests.diagnosis.programs import assert_named_first, programs

KINDS = {
    "matmul_of_two_weights": "shape_mismatch",
    "convolution_of_another_depth": "shape_mismatch",
    "joined_along_the_wrong_axis": "shape_mismatch",
    "broadcast_of_other_sizes": "shape_mismatch",
    "reshape_to_other_elements": "shape_mismatch",
    "gathered_out_of_range": "index_range",
    "token_out_of_vocabulary": "index_range",
    "loss_of_other_batches": "shape_mismatch",
    "label_out_of_range": "target_range",
    "reshape_folds_the_batch": "silent_fold",
    "reshape_folds_and_never_fails": "silent_fold",
    "log_of_zero": "nonfinite",
    "square_root_at_zero": "nonfinite",
    "division_by_zero": "nonfinite",
    "exponential_overflows": "nonfinite",
    "hidden_by_where": "nonfinite",
    "not_finite_in_the_data": "nonfinite",
    "float64_data": "dtype_mismatch",
    "bytes_below_zero": "integer_wrap",
    "bytes_divided_whole": "integer_division",
    "column_against_row": "unintended_broadcast",
    "softmax_over_the_batch": "wrong_axis",
    "softmax_by_hand_over_the_batch": "wrong_axis",
    "softmax_before_the_loss": "double_activation",
    "step_size_too_large": "divergence",
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    tf.random.set_seed(0)


def test_both_frameworks_have_all_the_faults():
    assert set(programs(both_torch)) == set(programs(both_tensorflow)) == set(KINDS)


@pytest.mark.parametrize("table", [both_torch, both_tensorflow], ids=["torch", "tensorflow"])
@pytest.mark.parametrize("name", KINDS)
def test_the_marked_line_is_named_first_by_the_same_kind(table, name, tmp_path):
    assert_named_first(table, name, KINDS[name], tmp_path)
