"""Values and learning gone wrong in TensorFlow are named at the default level; twins are not accused."""

from __future__ import annotations

import pytest

from tests.diagnosis import values_tensorflow, values_tensorflow_clean
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs


@pytest.mark.parametrize("name", programs(values_tensorflow))
def test_the_line_of_a_fault_of_values_or_learning_is_named_in_tensorflow(name, tmp_path):
    assert_named_first(values_tensorflow, name, None, tmp_path)


@pytest.mark.parametrize("name", programs(values_tensorflow_clean))
def test_a_program_that_is_right_is_not_accused_in_tensorflow(name):
    assert_not_accused(values_tensorflow_clean, name)
