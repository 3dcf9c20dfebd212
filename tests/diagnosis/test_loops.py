"""Programs built of parts (lists, dicts, trainers, loaders): the marked line first; no correct one accused."""

from __future__ import annotations

import pytest
import torch

from tests.diagnosis import torch_loops, torch_loops_clean
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs

KINDS = {
    "pools_from_a_list": "shape_mismatch",
    "heads_from_a_dict": "target_range",
    "labels_that_count_from_one": "target_range",
    "mean_of_an_empty_choice": "nonfinite",
    "model_without_elements": "device_mismatch",
    "detached_in_forward": "missing_gradient",
    "log_probabilities_made_anew": "no_gradient",
    "optimizer_without_the_head": "untrained_parameter",
    "advantage_in_the_loss_of_its_actor": "inplace_change",
    "generator_in_the_loss_of_its_critic": "backward_twice",
    "generator_in_the_loss_of_its_critic_afterwards": "backward_twice",
    "network_that_a_step_killed": "divergence",
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", programs(torch_loops))
def test_the_marked_line_is_named_first(name, tmp_path):
    assert_named_first(torch_loops, name, KINDS.get(name, "shape_mismatch"), tmp_path)


@pytest.mark.parametrize("name", programs(torch_loops_clean))
def test_a_clean_program_is_not_accused(name):
    assert_not_accused(torch_loops_clean, name)
