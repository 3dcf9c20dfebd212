"""A failure in a compiled program names the user's line, its operands and where they came from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import graphdebug

LINES = Path(__file__).read_text().splitlines()


def line_of(text):
    return next(i for i, line in enumerate(LINES, 1) if line.strip() == text)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(36, 10)

    def forward(self, x):
        h = torch.relu(self.conv(x))
        h = nn.functional.max_pool2d(h, 2)
        h = h.flatten(1)
        return self.fc(h)


@pytest.fixture(scope="module")
def captured():
    """A model that runs on one size of image and fails on the next, while dynamo captures it."""
    torch._dynamo.reset()
    compiled = torch.compile(Net(), backend="aot_eager")
    plain, recorded = None, None
    x = torch.randn(2, 1, 14, 14)
    try:
        compiled(x)
    except Exception as error:
        plain = error
    torch._dynamo.reset()
    try:
        with graphdebug.record() as run:
            compiled(torch.randn(2, 1, 8, 8))
            compiled(x)
    except Exception as error:
        recorded = error
    return run, plain, recorded


def test_the_exception_is_the_one_that_is_raised_without_us(captured):
    _, plain, recorded = captured
    assert type(recorded) is type(plain)
    assert "a and b must have same reduction dim" in str(recorded)


def test_a_shape_that_can_not_be_captured_is_a_failure_at_the_users_line(captured):
    run, _, _ = captured
    (failure,) = run.failures
    assert (failure.category, failure.function, failure.mode) == ("shape", "linear", "compiled")
    assert failure.module == "fc"
    assert (failure.site.file, failure.site.line) == (__file__, line_of("return self.fc(h)"))
    assert [site.function for site in failure.frames][-2:] == ["captured", "forward"]
    shapes = {operand.role: operand.fact.shape for operand in failure.operands}
    assert shapes == {"bias": (10,), "input": (2, 144), "weight": (10, 36)}


def test_the_nodes_before_it_are_in_the_log_as_inferred_down_to_the_input(captured):
    run, _, _ = captured
    (failure,) = run.failures
    given = next(one for one in failure.operands if one.role == "input")
    chain = list(run.chain(given))
    assert [node.function for node in chain] == ["flatten", "max_pool2d", "relu", "conv2d"]
    assert {node.execution for node in chain} == {"inferred"}
    assert [node.site.line for node in chain] == [
        line_of("h = h.flatten(1)"),
        line_of("h = nn.functional.max_pool2d(h, 2)"),
        line_of("h = torch.relu(self.conv(x))"),
        line_of("h = torch.relu(self.conv(x))"),
    ]
    assert chain[3].attributes["kernel"] == [3, 3]
    assert {one.name for one in chain[3].inputs} == {"x", "conv.weight", "conv.bias"}


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_an_error_while_a_graph_runs_names_the_node(backend):
    torch._dynamo.reset()

    def look_up(table, index):
        doubled = index * 2
        return table.index_select(0, doubled).sum()

    compiled = torch.compile(look_up, backend=backend)
    with pytest.raises(Exception, match="out of") as caught, graphdebug.record() as run:
        compiled(torch.randn(8, 2), torch.tensor([1, 7]))
    (failure,) = run.failures
    assert failure.site.line == line_of("return table.index_select(0, doubled).sum()")
    assert failure.function in ("index_select", "gather")
    assert run.node(failure.node).execution == "raised"
    assert run.producer(failure.operands[1]).site.line == line_of("doubled = index * 2")
    assert not isinstance(caught.value, graphdebug.GraphDebugError)


def test_a_loss_that_refuses_its_labels_is_a_shape_failure_with_both_operands():
    torch._dynamo.reset()

    @torch.compile(backend="aot_eager")
    def loss(logits, labels):
        scaled = logits * 2
        return nn.functional.cross_entropy(scaled, labels)

    with pytest.raises(Exception, match="batch_size"), graphdebug.record() as run:
        loss(torch.randn(8, 3), torch.zeros(7, dtype=torch.long))
    (failure,) = run.failures
    assert (failure.category, failure.family) == ("shape", "loss")
    assert failure.site.line == line_of("return nn.functional.cross_entropy(scaled, labels)")
    assert [operand.fact.shape for operand in failure.operands] == [(8, 3), (7,)]
    assert run.producer(failure.operands[0]).site.line == line_of("scaled = logits * 2")
