"""Every faulty program names its marked line first, live and from the file; no clean program names any."""

from __future__ import annotations

import pytest
import torch

import graphdebug
from tests.diagnosis import torch_clean, torch_faults
from tests.diagnosis.programs import marked_lines, programs, recorded

FAULTS, CLEAN = programs(torch_faults), programs(torch_clean)
KINDS = {
    "dense_for_another_image": "shape_mismatch",
    "fold_fails_in_loss": "silent_fold",
    "fold_never_fails": "silent_fold",
    "fold_split_fails_in_loss": "silent_fold",
    "logits_of_wrong_width": "target_mismatch",
    "log_of_zero": "nonfinite",
    "step_size_too_large": "divergence",
    "nan_in_data": "nonfinite",
    "in_place_change": "inplace_change",
    "leaf_in_place": "inplace_leaf",
    "float64_input": "dtype_mismatch",
    "float_labels": "target_mismatch",
    "label_out_of_range": "target_range",
    "token_out_of_vocabulary": "index_range",
    "backward_twice": "backward_twice",
    "loss_without_graph": "no_gradient",
    "column_against_row": "unintended_broadcast",
    "softmax_over_batch": "wrong_axis",
    "softmax_twice": "double_activation",
    "view_for_transpose": "silent_fold",
    "lists_to_tensor": "unknown",
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", FAULTS)
def test_the_marked_line_is_named_first_live_and_from_the_file(name, tmp_path):
    torch.manual_seed(0)
    log = tmp_path / "run.jsonl"
    run, error = recorded(FAULTS[name], log)
    found = run.findings
    assert found, "nothing was found"
    first = found[0]
    assert first.site is not None
    assert first.site.line in marked_lines(torch_faults), first.text
    assert first.site.file == torch_faults.__file__
    assert first.kind == KINDS.get(name, first.kind)
    assert len(first.text.splitlines()) <= 15
    assert first.text.startswith("graphdebug: ")
    assert f"{first.site.line}" in first.text.splitlines()[0]
    if error is not None:
        assert error.__notes__ == [first.text]
    again = graphdebug.load(log).findings
    assert [(one.kind, one.site, one.text) for one in again] == [
        (one.kind, one.site, one.text) for one in found
    ]


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_program_is_not_accused(name):
    torch.manual_seed(0)
    run, error = recorded(CLEAN[name], None)
    assert error is None
    assert [one.text for one in run.findings] == []
