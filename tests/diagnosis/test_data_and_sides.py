"""Data of a wrong shape are followed through Python, and wrong sides through layers, to the line at fault."""

from __future__ import annotations

import pytest

from tests.diagnosis import keras_sides, keras_sides_clean, session_data, session_data_clean
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs


@pytest.mark.parametrize("name", programs(keras_sides))
def test_the_layer_that_gave_a_decoder_other_sides_is_named_first(name, tmp_path):
    assert_named_first(keras_sides, name, None, tmp_path)


@pytest.mark.parametrize("name", programs(keras_sides_clean))
def test_a_right_decoder_or_pipeline_is_not_accused(name):
    assert_not_accused(keras_sides_clean, name)


@pytest.mark.parametrize("name", programs(session_data))
def test_the_line_that_gave_a_session_wrong_data_is_named_first(name, tmp_path):
    assert_named_first(session_data, name, None, tmp_path)


@pytest.mark.parametrize("name", programs(session_data_clean))
def test_a_right_session_is_not_accused(name):
    assert_not_accused(session_data_clean, name)
