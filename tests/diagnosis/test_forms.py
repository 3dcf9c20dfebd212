"""The diagnosis does not depend on the form in which a faulty program is written."""

from __future__ import annotations

import ast

import pytest

from tests.diagnosis.forms.cases import Case, of_suite
from tests.diagnosis.forms.mutations import mutants
from tests.diagnosis.forms.running import FORMS, open_host, rewritten, run_case

CASES = {(one.framework, one.name): one for framework in ("torch", "tf1", "tf2") for one in of_suite(framework)}
LOADED = Case("loaded", "torch", "for x, y in loader:\n    loss = model(x, y)\n", {2: None}, "")
SAMPLE = {
    "torch": [
        ("dense_width", "factories+constants+methods+main"),
        ("skip_concat", "keywords+config+in_dict+decorated"),
        ("decoder_width", "lambdas+arguments+split+nested"),
        ("labels_float", "lambdas+other_imports+config+from_functions"),
        ("detached", "aliases+settings+split+trainer"),
        ("sqrt_backward", "helpers+arithmetic+decorated+stepped"),
        ("valid_padding", "other_imports+positional+arithmetic+joined"),
        ("learning_rate", "factories+config+in_namedtuple+stepped"),
    ],
    "tf2": [
        ("dense_width", "aliases+constants+split+main"),
        ("log_zero", "constants+in_dict+nested+decorated"),
        ("keras_loss", "keywords+settings+in_attributes+split"),
    ],
    "tf1": [
        ("feed_shape", "helpers+settings+in_attributes+split"),
        ("dense_width", "keywords+arithmetic+main"),
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_keeps_a_program_valid_and_knows_its_fault_lines(form):
    applied = 0
    for case in (*CASES.values(), LOADED):
        new = rewritten(case.source, case.faults, form)
        if new is not None:
            ast.parse(new[0])
            lines = new[0].splitlines()
            assert new[1], case.name
            assert all(lines[line - 1].strip() for line in new[1]), case.name
            applied += 1
    assert applied


def test_a_literal_that_was_moved_leaves_both_lines_faulty_and_only_if_the_mend_changes_it():
    source = "from torch import nn\nfc = nn.Linear(640, 10)\n"
    new, faults = rewritten(source, {2: "fc = nn.Linear(320, 10)"}, "constants")
    marked = [line for number, line in enumerate(new.splitlines(), 1) if number in faults]
    assert marked == ["LINEAR_SIZE = 640", "fc = nn.Linear(LINEAR_SIZE, LINEAR_SIZE_2)"]


@pytest.mark.parametrize("framework", SAMPLE)
def test_programs_in_other_forms_are_named_first_and_their_twins_not_at_all(framework, tmp_path):
    pytest.importorskip("torch" if framework == "torch" else "tensorflow")
    with open_host(framework) as host:
        results = [run_case(CASES[framework, name], form, host, tmp_path) for name, form in SAMPLE[framework]]
    assert all(results)
    assert [str(one) for one in results if one.verdict != "first" or one.alarms] == []


def test_a_mutant_differs_from_the_right_program_on_its_line_alone():
    source = ast.unparse(ast.parse(CASES["torch", "dense_width"].twin))
    found = list(mutants(source))
    assert {what for what, _, _ in found} >= {"Linear number", "Linear swapped", "no padding", "no zero_grad"}
    for what, new, faults in found:
        ast.parse(new)
        changed = [n for n, pair in enumerate(zip(source.splitlines(), new.splitlines(), strict=False), 1)
                   if pair[0] != pair[1]]  # fmt: skip
        assert what == "no zero_grad" or set(changed) == faults, what
