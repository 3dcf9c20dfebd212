"""Sums and products of integers that wrap are found by their means; those that fit are not accused."""

from __future__ import annotations

import pytest
import tensorflow as tf
import torch

from tests.diagnosis import overflows
from tests.diagnosis.programs import marked_lines, programs, recorded


@pytest.mark.parametrize("name", programs(overflows))
def test_the_op_that_wraps_is_named(name):
    run, error = recorded(programs(overflows)[name], level="stats")
    assert error is None
    assert [one.kind for one in run.findings] == ["integer_wrap"]
    assert run.findings[0].site.line in marked_lines(overflows, name)


def test_the_mean_that_should_be_is_told():
    run, _ = recorded(overflows.torch_product, level="stats")
    assert "the mean should be 300, it is 44" in run.findings[0].text


def _clean_torch():
    pixels = torch.full((4, 6), 80, dtype=torch.uint8)
    (pixels * 3).float().mean()


def _clean_tf():
    pixels = tf.fill([4, 6], tf.constant(80, tf.uint8))
    tf.reduce_mean(tf.cast(pixels * 3, tf.float32))


@pytest.mark.parametrize("program", [_clean_torch, _clean_tf])
def test_what_fits_is_not_accused(program):
    run, error = recorded(program, level="stats")
    assert error is None
    assert [one.text for one in run.findings] == []
