"""Every faulty TensorFlow program has its marked line named first, of the kind that torch's twin has."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.diagnosis import tf1_clean, tf1_faults, tf2_clean, tf2_faults
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs
from tests.diagnosis.test_torch import KINDS

TF_KINDS = KINDS | {
    "feed_of_another_shape": "feed_shape",
    "variable_not_initialized": "uninitialized",
    "initialized_too_early": "uninitialized",
    "placeholder_not_fed": "unfed",
    "node_of_another_graph": "other_graph",
    "graph_finalized": "finalized",
    "float64_placeholder": "dtype_mismatch",
}


@pytest.fixture(autouse=True)
def _seeded():
    tf.random.set_seed(0)


@pytest.mark.parametrize("name", programs(tf1_faults))
def test_the_marked_line_of_a_session_is_named_first(name, tmp_path):
    assert_named_first(tf1_faults, name, TF_KINDS.get(name), tmp_path)


@pytest.mark.parametrize("name", programs(tf2_faults))
def test_the_marked_line_of_eager_code_is_named_first(name, tmp_path):
    assert_named_first(tf2_faults, name, TF_KINDS.get(name), tmp_path)


@pytest.mark.parametrize("name", programs(tf1_clean))
def test_a_clean_session_is_not_accused(name):
    assert_not_accused(tf1_clean, name)


@pytest.mark.parametrize("name", programs(tf2_clean))
def test_clean_eager_code_is_not_accused(name):
    assert_not_accused(tf2_clean, name)
