"""Every faulty TensorFlow program has its marked line named first, of the kind that torch's twin has."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.diagnosis import tf1_clean, tf1_faults, tf2_clean, tf2_faults, tf_merges
from tests.diagnosis.programs import assert_named_first, assert_not_accused, programs, recorded
from tests.diagnosis.test_torch import KINDS

TF_KINDS = KINDS | {
    "feed_of_another_shape": "feed_shape",
    "variable_not_initialized": "uninitialized",
    "initialized_too_early": "uninitialized",
    "initialized_in_another_session": "uninitialized",
    "table_not_initialized": "uninitialized",
    "placeholder_not_fed": "unfed",
    "node_of_another_graph": "other_graph",
    "gradient_of_an_output_shape_that_the_stride_cannot_give": "shape_mismatch",
    "output_shape_that_the_stride_cannot_give": "shape_mismatch",
    "rate_handed_to_the_model": "divergence",
    "placeholder_made_before_its_graph": "other_graph",
    "moving_average_that_no_step_updates": "never_updated",
    "target_network_that_is_never_synchronized": "never_updated",
    "schedule_whose_steps_are_not_counted": "never_updated",
    "train_op_that_is_not_fetched": "never_trained",
    "units_dropped_where_it_is_judged": "wrong_mode",
    "initializer_within_the_loop": "weights_reset",
    "initializer_after_restoring": "weights_reset",
    "queue_of_fewer_epochs_than_the_loop": "starved",
    "error_computed_by_new_nodes_in_each_step": "growing_graph",
    "placeholder_of_another_graph_is_fed": "other_graph",
    "graph_finalized": "finalized",
    "float64_placeholder": "dtype_mismatch",
    "tensor_as_a_feed": "tensor_fed",
    "operation_as_a_target": "wrong_argument",
    "value_of_a_loop_used_outside": "out_of_scope",
    "initial_value_of_a_placeholder": "unfed",
    "checkpoint_of_another_shape": "checkpoint_mismatch",
    "checkpoint_of_another_shape_after_training": "checkpoint_mismatch",
    "labels_and_logits_swapped_before_the_optimizer": "no_gradient",
    "weights_in_double_precision": "dtype_mismatch",
    "logits_keep_a_dimension": "target_mismatch",
    "hidden_layer_of_zeros": "zero_weights",
    "logits_through_relu": "double_activation",
    "argmax_of_one_column_beside_the_labels": "wrong_axis",
    "squares_grow_until_they_overflow": "divergence",
    "loss_chosen_for_other_labels": "target_mismatch",
    "no_softmax_before_a_loss_on_probabilities": "not_probabilities",
    "softmax_of_a_layer_with_one_unit": "wrong_axis",
    "predict_on_another_size": "shape_mismatch",
    "rows_of_unequal_length": "dtype_mismatch",
    "loss_of_plain_numbers": "no_gradient",
    "prediction_made_before_the_tape": "no_gradient",
    "gradient_by_a_constant": "no_gradient",
    "update_by_a_gradient_that_is_none": "no_gradient",
    "one_hot_of_a_guess_in_a_function": "no_gradient",
    "state_made_for_one_batch": "shape_mismatch",
    "moments_over_the_batch_alone": "shape_mismatch",
    "variable_made_a_second_time": "variable_exists",
    "loss_taken_from_a_train_step": "no_value",
    "sum_that_a_comma_made_a_tuple": "shape_mismatch",
    "loop_that_gathers_rows": "shape_mismatch",
    "loop_that_changes_a_width": "shape_mismatch",
    "branches_of_two_dtypes": "dtype_mismatch",
    "share_of_hits_in_whole_numbers": "integer_division",
    "local_variables_left_out": "uninitialized",
    "local_variables_left_out_many_steps_before": "uninitialized",
    "labels_counted_from_one_in_parts": "target_range",
    "variable_made_in_a_function": "variable_late",
    "every_step_against_one_label": "target_mismatch",
    "input_declared_by_the_number_of_rows": "shape_mismatch",
    "inputs_in_another_order": "shape_mismatch",
    "block_of_another_width": "shape_mismatch",
    "decoder_without_padding": "shape_mismatch",
    "variable_replaced_by_its_update": "no_gradient",
    "row_of_labels_against_a_column": "unintended_broadcast",
    "one_hot_of_other_classes": "shape_mismatch",
    "mask_of_another_size_than_the_scores": "target_mismatch",
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


def _in_a_session(build):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        result = build()
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(result)


@pytest.mark.parametrize("mode", ["eager", "session"])
@pytest.mark.parametrize("name", programs(tf_merges))
def test_a_legitimate_merge_is_not_accused(name, mode):
    build = programs(tf_merges)[name]
    run, error = recorded(build if mode == "eager" else lambda: _in_a_session(build))
    assert error is None
    assert len(run.nodes) > 1
    assert [one.text for one in run.findings] == []


def test_a_merge_that_is_a_fold_is_accused_in_both_modes():
    """The test above can fail: 48 samples of 400 elements in rows of 160 are no legitimate merge."""

    def fold():
        return tf_merges._dense(tf.reshape(tf_merges._data(48, 20, 20, 1), [-1, 160]), 2)

    for program in (fold, lambda: _in_a_session(fold)):
        assert [one.kind for one in recorded(program)[0].findings] == ["silent_fold"]
