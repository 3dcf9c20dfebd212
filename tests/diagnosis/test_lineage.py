"""Samples, places and sizes taken for others: the marked line first; no program that is right is accused."""

from __future__ import annotations

import pytest
import torch

from tests.diagnosis import torch_lineage, torch_lineage_clean
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs

KINDS = {
    "recurrent_layer_along_the_samples_of_a_loader": "wrong_axis",
    "recurrent_layer_along_rows_that_were_drawn": "wrong_axis",
    "last_sample_taken_for_the_last_step": "wrong_axis",
    "attention_among_the_samples_of_a_loader": "wrong_axis",
    "padding_mask_the_other_way_round": "inverted_mask",
    "padding_mask_that_leaves_a_sentence_with_nothing": "nonfinite",
    "lengths_the_other_way_round": "inverted_mask",
    "first_place_left_with_nothing": "inverted_mask",
    "targets_that_are_the_input": "echoed_input",
    "numbers_of_samples_along_the_columns": "unintended_broadcast",
    "inputs_shuffled_alone": "misaligned_rows",
    "weights_of_a_pool_over_the_batch": "wrong_axis",
    "sum_of_losses_with_their_graphs": "kept_history",
    "gradients_cleared_before_the_step": "cleared_too_early",
    "places_of_a_maximum_in_the_loss": "no_gradient",
    "float_labels_behind_a_loader": "target_mismatch",
    "network_that_ends_in_a_relu": "dead_units",
    "mean_of_bytes": "integer_wrap",
    "rate_in_a_configuration": "divergence",
    "rows_shuffled_before_they_are_tensors": "misaligned_rows",
    "largest_score_over_the_other_axis": "wrong_axis",
    "column_without_a_spread": "nonfinite",
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", programs(torch_lineage))
def test_the_marked_line_is_named_first(name, tmp_path):
    assert_named_first(torch_lineage, name, KINDS.get(name, "shape_mismatch"), tmp_path)


@pytest.mark.parametrize("name", programs(torch_lineage_clean))
def test_a_program_that_is_right_is_not_accused(name):
    assert_not_accused(torch_lineage_clean, name)
