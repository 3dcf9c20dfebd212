"""What no op was given, states that keep a graph from being made, and what runs without a word."""

from __future__ import annotations

import pytest
import torch

from tests.diagnosis import torch_outside, torch_silent, torch_silent_clean
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs

KINDS = {
    "optimizer_of_listed_layers": "bad_parameters",
    "optimizer_of_what_was_computed": "bad_parameters",
    "zero_length": "value_range",
    "targets_from_one": "value_range",
    "scores_as_probabilities": "not_probabilities",
    "mapped_over_unlike_axes": "not_mapped",
    "checkpoint_of_other_sizes": "checkpoint_mismatch",
    "gradient_of_what_was_computed": "no_gradient",
    "frozen_by_a_loop": "no_gradient",
    "buffer_of_doubles": "dtype_mismatch",
    "derivative_without_the_chain_rule": "gradient_ignored",
    "softmax_over_heads": "wrong_axis",
    "view_for_permute": "silent_fold",
    "compiled_column_against_row": "unintended_broadcast",
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", programs(torch_outside))
def test_what_refused_or_never_could_work_is_named_first(name, tmp_path):
    assert_named_first(torch_outside, name, KINDS.get(name), tmp_path)


@pytest.mark.parametrize("name", programs(torch_silent))
def test_what_silently_computes_something_else_is_named_first(name, tmp_path):
    assert_named_first(torch_silent, name, KINDS.get(name), tmp_path)


@pytest.mark.parametrize("name", programs(torch_silent_clean))
def test_what_only_looks_like_it_is_not_accused(name):
    assert_not_accused(torch_silent_clean, name)
