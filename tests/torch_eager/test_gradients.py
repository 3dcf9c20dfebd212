"""Gradients that are asked for, of `torch.autograd.grad` and `torch.func`, and those of double backward."""

from __future__ import annotations

import traceback

import pytest
import torch
from torch import nn

import graphdebug
from tests.torch_eager.lines import line_of


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def recorded(program, **options):
    with graphdebug.record(level="stats", **options) as run:
        result = program()
    assert not run.tool_errors
    return run, result


def norm(tensor):
    return pytest.approx(tensor.double().norm().item(), rel=1e-6)


def test_gradients_of_parameters_that_are_asked_for_are_recorded_by_name(net):
    x = torch.randn(5, 3)

    def program():
        return torch.autograd.grad(net(x).sum(), list(net.parameters()))

    run, found = recorded(program)
    named = dict(zip(dict(net.named_parameters()), found, strict=True))
    assert {one.name: one.fact.stats.l2 for one in run.gradients} == {
        name: norm(gradient) for name, gradient in named.items()
    }
    for one in run.gradients:
        assert any(operand.name == one.name for operand in run.node(one.node).inputs)
        assert run.node(one.producer).outputs[0].shape == one.fact.shape
    assert not recorded(program, gradients="none")[0].gradients


def test_gradients_of_intermediates_that_are_asked_for_are_recorded_once_with_all(net):
    x = torch.randn(5, 3)

    def program(more=()):
        hidden = net[0](x)  # the hidden layer
        return torch.autograd.grad(net[2](net[1](hidden)).sum(), [hidden, *more])

    assert not recorded(program)[0].gradients
    for more in ((), (net[0].weight,)):
        run, (gradient, *_) = recorded(lambda more=more: program(more), gradients="all")
        (found,) = [one for one in run.gradients if not one.name and run.node(one.node).module == "0"][:1]
        assert run.node(found.node).site.line == line_of(__file__, "# the hidden layer")
        assert found.fact.stats.l2 == norm(gradient)
        same = [one for one in run.gradients if (one.node, one.output) == (found.node, found.output)]
        assert len(same) == 1


def test_a_gradient_penalty_has_the_gradients_of_both_backwards(net):
    x = torch.randn(5, 3, requires_grad=True)

    def program():
        (gradient,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        ((gradient.norm(2, dim=1) - 1) ** 2).mean().backward()
        return gradient

    run, gradient = recorded(program)
    first = run.gradients[0]
    assert (first.name, first.fact.stats.l2) == ("x", norm(gradient.detach()))
    assert {one.name for one in run.gradients[1:]} == {"0.weight", "0.bias", "2.weight", "x"}
    assert all(one.fact.stats is not None for one in run.gradients)


def test_gradients_asked_for_in_a_batch_are_those_of_the_whole_batch():
    x = torch.randn(3, requires_grad=True)

    def program():
        return torch.autograd.grad(x * x, x, torch.eye(3), is_grads_batched=True)[0]

    run, gradient = recorded(program)
    (found,) = run.gradients
    assert (found.name, found.fact.shape, found.fact.stats.l2) == ("x", (3, 3), norm(gradient))


def test_gradients_of_functional_transforms_are_recorded_by_parameter(net):
    x = torch.randn(5, 3)
    parameters = dict(net.named_parameters())

    def loss(given, rows):
        return torch.func.functional_call(net, given, (rows,)).sum()

    run, found = recorded(lambda: torch.func.grad(loss)(parameters, x))
    assert {one.name: one.fact.stats.l2 for one in run.gradients} == {
        name: norm(gradient) for name, gradient in found.items()
    }
    linear = next(node for node in run.nodes if node.function == "linear")
    assert [one.name for one in linear.inputs if one.role == "bias"] == ["0.bias"]
    run, found = recorded(
        lambda: torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x[:, None])
    )
    assert {one.name: one.fact.shape for one in run.gradients} == {
        name: tuple(gradient.shape) for name, gradient in found.items()
    }


TRANSFORMS = {
    "jacrev": torch.func.jacrev,
    "hessian": torch.func.hessian,
    "grad of grad": lambda f: torch.func.grad(lambda v: torch.func.grad(f)(v).sum()),
    "vmap of grad": lambda f: lambda row: torch.func.vmap(torch.func.grad(f))(torch.stack([row, row])),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_backward_of_a_transform_points_at_the_ops_it_is_of(name, net):
    def of_row(row):
        hidden = net[0](row)  # the inner layer
        return (hidden.tanh() * 3).sum()  # on top

    run, _ = recorded(lambda: TRANSFORMS[name](of_row)(torch.randn(3)))
    backward = [node for node in run.nodes if node.phase == "backward" and node.name != "AccumulateGrad"]
    assert all(run.node(node.forward) is not None for node in backward)
    ops = {
        node.name: {run.node(one.forward).op for one in backward if one.name == node.name} for node in backward
    }
    assert ops["TanhBackward0"] == {"aten::tanh"}
    assert ops["MmBackward0"] == {"aten::view" if name == "vmap of grad" else "aten::mm"}, (
        "the batch's first op"
    )
    lines = {node.name: node.site.line for node in backward}
    assert lines["TanhBackward0"] == line_of(__file__, "# on top")
    assert lines["MmBackward0"] == line_of(__file__, "# the inner layer")


def test_autograd_grad_is_as_it_was_when_it_fails_and_after_the_block(net):
    before = torch.autograd._engine_run_backward
    with graphdebug.record():
        with pytest.raises(RuntimeError, match="does not require grad") as caught:
            torch.autograd.grad(torch.ones(2).sum(), torch.ones(2))
        assert not any("graphdebug" in one.filename for one in traceback.extract_tb(caught.value.__traceback__))
    assert torch.autograd._engine_run_backward is before


def test_a_transposed_gradient_keeps_the_statistics_of_what_it_is_a_view_of():
    base = torch.randn(4, 3)
    run, _ = recorded(lambda: base.mul(2).t())
    assert run.nodes[-1].outputs[0].stats.l2 == norm(base * 2)


def test_the_backward_of_a_write_in_place_points_at_the_write():
    x = torch.randn(3, 4, requires_grad=True)
    factor = torch.randn(3, 4, requires_grad=True)

    def program():
        y = x * 2
        y.mul_(factor)  # keeps a copy of what it overwrites
        y[0] *= 3  # into a view
        y[1:].mul_(factor[1:])  # both
        y.sum().backward()

    run, _ = recorded(program)
    backward = [node for node in run.nodes if node.phase == "backward" and node.name != "AccumulateGrad"]
    assert all(run.node(node.forward) is not None for node in backward)
    lines = {run.node(node.forward).site.line for node in backward if "CopySlices" in node.name}
    assert lines == {line_of(__file__, "# into a view"), line_of(__file__, "# both")}
    (product, *_) = [node for node in backward if node.site.line == line_of(__file__, "# keeps a copy")]
    assert run.node(product.forward).op == "aten::mul_"
