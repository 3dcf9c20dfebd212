"""What torch raises is met with the call, its operands and why, also where dispatch did not see the call."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import graphdebug
from tests.torch_eager.lines import line_of


def failing(program, **options):
    run = graphdebug.record(**options)
    with pytest.raises(Exception), run:  # noqa: B017, PT011  # which one is not what these tests are about
        program()
    assert not run.tool_errors
    return run, run.failures[-1]


def cross_entropy():
    logits, labels = torch.randn(4, 10), torch.randint(0, 10, (5,))
    F.cross_entropy(logits, labels)


def einsum():
    a, b = torch.randn(3, 4), torch.randn(5, 6)
    torch.einsum("ij,jk->ik", a, b)


def item():
    x = torch.randn(3)
    x.item()


def index():
    x = torch.randn(3)
    x[5]


def leaf():
    w = torch.randn(3, requires_grad=True)
    w += 1


def product():
    a, b = torch.randn(3, 4), torch.randn(3, 5)
    a @ b


def concatenation():
    a, b = torch.randn(3, 4), torch.randn(3, 5)
    torch.cat([a, b])


def linear():
    fc, x = nn.Linear(3, 4), torch.randn(2, 5)
    fc(x)


def lstm():
    cell, x = nn.LSTM(5, 6), torch.randn(3, 2, 7)
    cell(x)


def dtype():
    a, b = torch.randn(3, 4), torch.ones(4, 5, dtype=torch.int64)
    a @ b


def no_gradient():
    torch.randn(3).sum().backward()


CASES = {
    cross_entropy: ("shape", "cross_entropy", [("input", "logits", (4, 10)), ("labels", "labels", (5,))]),
    einsum: ("shape", "einsum", [("a", "a", (3, 4)), ("b", "b", (5, 6))]),
    item: ("shape", "item", [("input", "x", (3,))]),
    index: ("index", "gather", [("input", "x", (3,))]),
    leaf: ("leaf_inplace", "add", [("a", "w", (3,))]),
    product: ("shape", "matmul", [("a", "a", (3, 4)), ("b", "b", (3, 5))]),
    concatenation: ("shape", "cat", [("", "a", (3, 4)), ("", "b", (3, 5))]),
    linear: ("shape", "linear", [("bias", "", (4,)), ("input", "x", (2, 5)), ("weight", "", (4, 3))]),
    lstm: ("shape", "lstm", None),
    dtype: ("dtype", "matmul", [("a", "a", (3, 4)), ("b", "b", (4, 5))]),
    no_gradient: ("no_gradient", "backward", [("input", "", ())]),
}


@pytest.mark.parametrize("program", CASES, ids=lambda program: program.__name__)
def test_the_call_and_its_operands_are_known(program):
    category, function, operands = CASES[program]
    run, failure = failing(program)
    assert (failure.category, failure.function) == (category, function)
    assert failure.site.function == program.__name__
    found = [(one.role, one.expression, one.fact.shape) for one in failure.operands]
    if operands is not None:
        assert found == operands
    for one in failure.operands:
        if one.origin == "node":
            assert run.producer(one).site.function == program.__name__


def test_a_parameter_of_the_failing_layer_is_named_and_declared():
    run, failure = failing(linear)
    weight = next(one for one in failure.operands if one.role == "weight")
    assert (weight.name, weight.origin, failure.module) == ("fc.weight", "parameter", "fc")
    assert run.declaration("fc").attributes == {"in_features": 3, "out_features": 4}
    assert run.declaration("fc").site.line == line_of(__file__, "fc, x = nn.Linear(3, 4)")
    assert failure.attributes == {"weight_layout": "OI"}
    assert (failure.detail, run.node(failure.node).execution) == ({"found": 5, "expected": 3}, "raised")


class Net(nn.Module):
    def __init__(this):
        super().__init__()
        this.fc = nn.Linear(3, 2, bias=False)  # declared with another name for self

    def forward(this, x):
        return this.fc(x)


def test_a_layer_without_bias_is_a_linear_layer_and_its_line_is_found_whatever_self_is_called():
    net = Net()
    with graphdebug.record() as run:
        net(torch.randn(4, 3))
    node = run.nodes[-1]
    assert (node.op, node.function, node.family) == ("aten::mm", "linear", "linear")
    assert [one.role for one in node.inputs] == ["input", "weight"]
    assert run.declaration("fc").site.line == line_of(__file__, "# declared with another")


def test_numbers_of_the_message_are_in_the_detail():
    assert failing(dtype)[1].detail == {"expected": "float32", "found": "int64"}
    assert failing(cross_entropy)[1].detail == {"found": 4, "expected": 5}
    assert failing(index)[1].detail == {"value": 5, "dimension": 0, "high": 3}


def test_the_element_out_of_range_is_named():
    def target():
        F.cross_entropy(torch.randn(3, 4), torch.tensor([0, 4, 1]))

    def token():
        nn.Embedding(10, 4)(torch.tensor([[3, 12]]))

    assert failing(target)[1].detail == {
        "index": [1], "value": 4, "low": 0, "high": 4, "least": 0, "alike": True, "within": [0, 1],
    }  # fmt: skip
    assert failing(token)[1].detail == {
        "index": [0, 1], "value": 12, "low": 0, "high": 10, "least": 3, "alike": True, "within": [3, 3],
    }  # fmt: skip


def test_an_in_place_change_names_the_nodes_that_wrote_and_the_one_that_saved():
    def program():
        x = torch.randn(3, requires_grad=True)
        y = x.sigmoid()
        y.mul_(2)
        z = (y * y).sum()  # saves y
        y.add_(1)  # writes y
        z.backward()

    run, failure = failing(program)
    assert failure.category == "inplace"
    (writer,) = failure.detail["mutated_by"]
    assert run.node(writer).site.line == line_of(__file__, "# writes y")
    assert run.node(failure.detail["saved_by"]).site.line == line_of(__file__, "# saves y")


def test_a_second_backward_names_the_first():
    def program():
        x = torch.randn(3, requires_grad=True)
        z = (x * x).sum()
        z.backward()  # the first
        z.backward()

    assert failing(program)[1].detail["first"]["line"] == line_of(__file__, "# the first")


def test_an_error_of_the_users_own_is_not_taken_for_torchs():
    def program():
        raise ValueError("mine")

    assert failing(program)[1].framework == ""


def test_anomaly_mode_names_the_forward_line_in_the_log_and_not_on_stderr(capfd):
    def program():
        x = torch.zeros(3, requires_grad=True)
        torch.sqrt(x * x).sum().backward()  # zero times infinity

    run, failure = failing(program, anomaly=True)
    line = line_of(__file__, "# zero times infinity")
    assert (failure.category, failure.phase, failure.site.line) == ("nonfinite", "backward", line)
    (notice,) = [one for one in run.notices if one.topic == "anomaly"]
    assert notice.site.line == line
    assert "Error detected in" not in capfd.readouterr().err
    assert not torch.is_anomaly_enabled()
