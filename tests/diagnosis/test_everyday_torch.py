"""Everyday PyTorch programs, run as scripts: the marked line is named first, right programs are left alone."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

import graphdebug
from tests.diagnosis.programs import MARK, assert_well_told

PROGRAMS = {one.stem: one for one in sorted((Path(__file__).parent / "everyday").glob("*.py"))}
KINDS = {
    "no_step_asked_for": "never_trained",
    "step_waits_for_batches_that_never_come": "never_trained",
    "new_weights_go_nowhere": "never_trained",
    "optimizer_of_the_original_of_a_copy": "untrained_parameter",
    "layer_replaced_after_the_optimizer": "untrained_parameter",
    "learning_rate_zero_from_the_command_line": "idle_optimizer",
    "rate_throws_the_loss_far": "divergence",
    "rate_lets_a_line_fit_grow": "divergence",
    "rate_ruins_a_recurrent_network": "divergence",
    "validation_without_eval": "shape_mismatch",
    "prediction_without_eval": "shape_mismatch",
    "accuracy_without_eval": "shape_mismatch",
    "one_sample_behind_the_training": "shape_mismatch",
    "last_batch_of_one_sample": "shape_mismatch",
    "padded_tags_counted": "target_range",
    "labels_less_one": "target_range",
    "void_pixels_counted": "target_range",
    "stored_mask_not_cut": "shape_mismatch",
    "padding_mask_without_axes": "shape_mismatch",
    "mask_of_the_other_sequence": "shape_mismatch",
    "mask_helper_told_another_length": "shape_mismatch",
    "triangle_not_cut": "shape_mismatch",
    "mask_as_long_as_the_batch": "shape_mismatch",
    "mask_of_the_batch_before_it_was_cut": "shape_mismatch",
    "mask_of_the_target": "shape_mismatch",
    "widths_joined_and_cut": "shape_mismatch",
    "channels_of_a_chosen_row": "shape_mismatch",
    "cleared_by_a_helper": "cleared_too_early",
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _recorded(name, log=None):
    """The run of a program, as ``graphdebug run`` records it."""
    run = graphdebug.record(log)
    try:
        with run:
            runpy.run_path(str(PROGRAMS[name]), run_name="__main__")
    except Exception as error:
        return run, error
    return run, None


def _marked(name):
    lines = PROGRAMS[name].read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if MARK in line}


@pytest.mark.parametrize("name", KINDS)
def test_the_marked_line_of_an_everyday_program_is_named_first(name, tmp_path):
    run, _ = _recorded(name, tmp_path / "run.jsonl")
    first, *others = run.findings
    assert first.site is not None
    assert first.site.file == str(PROGRAMS[name])
    assert first.site.line in _marked(name), first.text
    assert first.kind == KINDS[name]
    for one in (first, *others):
        assert_well_told(one)
    again = graphdebug.load(tmp_path / "run.jsonl").findings
    assert [one.text for one in again] == [one.text for one in run.findings]


@pytest.mark.parametrize("name", [one for one in PROGRAMS if one.startswith("clean_")])
def test_a_right_everyday_program_is_not_accused(name):
    run, error = _recorded(name)
    assert error is None
    assert [one.text for one in run.findings] == []


def test_every_everyday_program_is_marked_or_clean():
    assert {one for one in PROGRAMS if not one.startswith("clean_")} == KINDS.keys()
    assert all(_marked(one) for one in KINDS)
