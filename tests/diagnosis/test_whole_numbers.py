"""Whole numbers that leave the range of their type are named in every mode at the default level; hashes,
generators, checksums and numbers that stay in range are not accused.
"""

from __future__ import annotations

import pytest
import tensorflow as tf
import torch

import graphdebug
from tests.diagnosis import whole_tensorflow, whole_tensorflow_clean, whole_torch, whole_torch_clean
from tests.diagnosis.given import arrays
from tests.diagnosis.programs import assert_well_told, marked_lines, programs, recorded


def _torch(program):
    return lambda: program(*map(torch.from_numpy, arrays(program)))


def _compiled(program):
    torch._dynamo.reset()
    function = torch.compile(program, backend="aot_eager")
    return lambda: function(*map(torch.from_numpy, arrays(program)))


def _eager(program):
    return lambda: program(*map(tf.constant, arrays(program)))


def _function(program):
    function = tf.function(program)
    return lambda: function(*map(tf.constant, arrays(program)))


def _session(program):
    with tf.Graph().as_default():
        feeds = [(tf.compat.v1.placeholder(one.dtype, one.shape), one) for one in arrays(program)]
        results = tf.nest.flatten(program(*(placeholder for placeholder, _ in feeds)))
        session = tf.compat.v1.Session()
    return lambda: session.run(results, {key.name: value for key, value in feeds})


_MODES = {
    "torch": (_torch, whole_torch, whole_torch_clean),
    "compiled": (_compiled, whole_torch, whole_torch_clean),
    "eager": (_eager, whole_tensorflow, whole_tensorflow_clean),
    "function": (_function, whole_tensorflow, whole_tensorflow_clean),
    "session": (_session, whole_tensorflow, whole_tensorflow_clean),
}


_DIVISIONS = {
    "accuracy_in_whole_numbers", "mean_of_flags_in_whole_numbers", "mean_of_scores_in_whole_numbers",
    "weights_of_nothing",
}  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "name"), [(mode, name) for mode, (_, table, _) in _MODES.items() for name in programs(table)]
)
def test_the_op_that_left_the_range_or_lost_the_fraction_is_named(mode, name, tmp_path):
    made, table, _ = _MODES[mode]
    run, error = recorded(made(programs(table)[name]), tmp_path / "run.jsonl")
    assert error is None
    assert run.findings
    first = run.findings[0]
    assert first.kind == ("integer_division" if name in _DIVISIONS else "integer_wrap"), first.text
    assert first.site.line in marked_lines(table, name), first.text
    assert_well_told(first)
    assert [one.text for one in graphdebug.load(tmp_path / "run.jsonl").findings] == [
        one.text for one in run.findings
    ]


@pytest.mark.parametrize(
    ("mode", "name"), [(mode, name) for mode, (_, _, table) in _MODES.items() for name in programs(table)]
)
def test_what_stays_in_range_or_is_meant_to_wrap_is_not_accused(mode, name):
    made, _, table = _MODES[mode]
    run, error = recorded(made(programs(table)[name]))
    assert error is None
    assert [one.text for one in run.findings] == []


def test_the_report_says_what_the_result_should_have_been():
    pixels = torch.full((4, 6), 100, dtype=torch.uint8)
    run, _ = recorded(lambda: (pixels * 3).float())
    assert run.findings[0].text.splitlines()[3:] == [
        "  of 4x6 uint8",
        "  100 x 3 = 300; uint8 holds 0 to 255",
        "  it became 44",
        "  then it became float32",
        "  try: cast to int16 or int32 or float before the mul",
    ]


def test_a_number_that_is_not_finite_because_others_left_their_range_is_told_by_those():
    run, _ = recorded(_torch(whole_torch.squares_of_large_numbers))
    assert [one.kind for one in run.findings] == ["integer_wrap"]
