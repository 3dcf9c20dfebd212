"""Modes of torch, steps, filters, gradients and breakpoints under the recorder."""

from __future__ import annotations

import pdb  # noqa: T100  # its prompt is replaced in a test
import sys

import pytest
import torch
import torch.nn.functional as F
from benchmarks.torch_models import tiny_mlp
from torch import nn

import graphdebug
from tests.torch_eager import opinfo
from tests.torch_eager.lines import line_of


def recorded(program, **options):
    with graphdebug.record(**options) as run:
        program()
    assert not run.tool_errors
    return run


def test_inference_mode_and_no_grad_are_recorded():
    net = nn.Linear(3, 2)

    def program():
        with torch.inference_mode():
            y = net(torch.randn(4, 3))
            y.relu_()
            y[0].mul(2)
        with torch.no_grad():
            net(torch.randn(4, 3))

    run = recorded(program)
    assert [node.function for node in run.nodes if node.family == "linear"] == ["linear", "linear"]
    product = next(node for node in run.nodes if node.function == "mul")
    assert run.producer(product.inputs[0]).function == "select"


def test_autocast_and_a_skipped_step_of_the_scaler():
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)

    def program():
        for scale in (1e30, 1.0):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = net(torch.randn(4, 3) * scale).float().square().mean()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

    run = recorded(program)
    assert "bfloat16" in {fact.dtype for node in run.nodes for fact in node.outputs}
    assert [node.step for node in run.nodes if node.family == "linear"] == [0, 1], "a skipped step is a step"
    assert [node.step for node in run.nodes if node.op == "aten::_amp_update_scale_"] == [0, 1]
    assert {node.step for node in run.nodes if node.phase == "optimizer"} == {1}, "the first was skipped"


def test_functional_transforms_are_recorded():
    def program():
        weights = torch.randn(3)
        torch.func.grad(lambda w: (w * w).sum())(weights)
        torch.func.vmap(lambda row: row.sin().sum())(torch.randn(4, 3))

    run = recorded(program, level="stats")
    assert {"mul", "sin", "sum"} <= {node.function for node in run.nodes}


def test_double_backward_points_at_its_forward():
    def program():
        x = torch.randn(3, requires_grad=True)
        (first,) = torch.autograd.grad(x.pow(3).sum(), x, create_graph=True)
        first.sum().backward()

    run = recorded(program)
    backward = [node for node in run.nodes if node.phase == "backward" and node.name != "AccumulateGrad"]
    assert all(run.node(node.forward) is not None for node in backward)


def test_optimizers_between_two_backwards_end_one_step():
    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.1) for net in (first, second)]

    def program():
        for _ in range(3):
            second(first(torch.randn(2, 3))).sum().backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()

    run = recorded(program)
    assert run.steps == [0, 1, 2]
    assert run.end.steps == 3
    assert {node.phase for node in run.step(1).nodes} == {"forward", "backward", "optimizer"}


def alternating(rounds, pattern):
    """Steps of a program whose optimizers step as `pattern` says in each round, with ops between them."""
    nets = {name: nn.Linear(3, 1) for name in "DG"}
    optimizers = {name: torch.optim.SGD(net.parameters(), lr=0.1) for name, net in nets.items()}
    with graphdebug.record() as run:
        for number in range(rounds):
            for name in pattern(number):
                nets[name](torch.randn(2, 3)).sum().backward()
                optimizers[name].step()
                optimizers[name].zero_grad(set_to_none=True)
    return run


def test_two_optimizers_that_step_in_turn_end_a_step_once_a_round():
    run = alternating(20, lambda _: "DG")
    assert run.end.steps == 21, "the first round is two steps: nothing says yet that another optimizer follows"
    for step in range(2, 21):
        nodes = run.step(step).nodes
        assert [node.phase for node in nodes].count("optimizer") == 4
        assert [node.function for node in nodes if node.phase == "forward"].count("linear") == 2


def test_optimizers_in_no_order_each_end_a_step():
    assert alternating(12, lambda number: "DDDG" if number % 3 == 0 else "D").end.steps == 12 + 2 * 4 + 4
    assert alternating(4, lambda number: "D" if number < 2 else "G").end.steps == 4


def test_filters_and_every_choose_what_is_recorded():
    torch.manual_seed(0)
    training = tiny_mlp()

    def program():
        for _ in range(4):
            training.optimizer.zero_grad()
            F.cross_entropy(training.net(training.batch[0]), training.batch[1]).backward()
            training.optimizer.step()

    assert {node.module for node in recorded(program, modules=["2"], phases=["forward"]).nodes} == {"2"}
    assert {node.function for node in recorded(program, ops=["relu", "aten::mm"]).nodes} == {"relu", "matmul"}
    assert {node.phase for node in recorded(program, phases=["optimizer"]).nodes} == {"optimizer"}
    assert recorded(program, every=2).steps == [0, 2]


def test_gradients_of_every_tensor_are_tied_to_their_forward_nodes():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh())

    def program():
        net(torch.randn(2, 3)).square().sum().backward()  # gradients of all

    run = recorded(program, gradients="all", level="stats")
    intermediate = {run.node(one.node).function: one for one in run.gradients if not one.name}
    assert {"linear", "tanh", "pow", "sum"} <= set(intermediate)
    assert intermediate["tanh"].fact.shape == (2, 4)
    assert intermediate["tanh"].site.line == line_of(__file__, "# gradients of all")
    assert {one.name for one in run.gradients if one.name} == {"0.weight", "0.bias"}
    assert not recorded(program, gradients="none").gradients


def test_what_was_asked_of_a_reshape_is_kept():
    flat = nn.Flatten()

    def program():
        x = torch.randn(2, 3, 4)
        x.view(-1, 12), x.reshape(x.size(0), -1), torch.flatten(x, 1), flat(x), x.view(6, 2 * 2)

    views = [node for node in recorded(program).nodes if node.op == "aten::view"]
    assert [one.attributes["target"] for one in views] == [[-1, 12], [2, -1], [2, -1], [2, -1], [6, 4]]
    assert [one.function for one in views] == ["view", "reshape", "flatten", "flatten", "view"]


def test_a_reshape_inside_another_function_is_not_named_after_it():
    x = torch.randn(2, 3, 4)
    run = recorded(lambda: F.linear(x, torch.randn(5, 4), torch.randn(5)))
    assert {node.function for node in run.nodes if node.op.endswith("view")} <= {"view"}


def test_producers_are_right_after_memory_is_used_again():
    addresses = []

    def program():
        for number in range(100):
            a = torch.ones(1000) * number
            b = a + 1
            addresses.append(a.data_ptr())
            del a
            c = torch.zeros(1000)
            addresses.append(c.data_ptr())
            d = c.exp()
            del b, c, d

    run = recorded(program)
    assert len(set(addresses)) < 100, "memory was used again"
    for node in run.nodes:
        if node.function in ("exp", "add"):
            assert run.producer(node.inputs[0]).op == {"exp": "aten::zeros", "add": "aten::mul"}[node.function]
            assert node.inputs[0].producer < node.seq


def test_a_line_with_several_ops_tells_them_apart_by_column():
    x = torch.ones(3)
    run = recorded(lambda: (x + 1).sin() * x.cos())
    text = run.source_lines(__file__)[run.nodes[0].site.line - 1]
    words = {node.function: text[node.site.column : node.site.end_column] for node in run.nodes}
    assert words == {"add": "x + 1", "sin": "(x + 1).sin()", "cos": "x.cos()", "mul": "(x + 1).sin() * x.cos()"}


def test_a_write_through_a_view_is_the_producer_of_the_base():
    def program():
        x = torch.zeros(3, 2)
        x[0].add_(1)
        x.exp()

    run = recorded(program)
    assert run.producer(run.nodes[-1].inputs[0]).function == "add"


def test_the_debugger_opens_at_the_users_line_with_the_tensor(monkeypatch, capsys):
    seen = []

    def interaction(self, frame, _traceback):
        self.setup(frame, None)
        seen.append((frame.f_lineno, self.curframe_locals["offending"].shape))
        self.set_continue()

    monkeypatch.setattr(pdb.Pdb, "interaction", interaction)

    def program():
        x = torch.tensor([0.0, 1.0])
        x.log()  # minus infinity
        x.exp()

    recorded(program, break_on="nonfinite")
    assert seen == [(line_of(__file__, "# minus infinity"), (2,))]
    assert "aten::log (forward) made offending, 2" in capsys.readouterr().out
    recorded(program, break_on=lambda node, _value: node.function == "exp")
    assert [line for line, _ in seen[1:]] == [line_of(__file__, "# minus infinity") + 1]
    assert sys.gettrace() is None


FAST = (
    "add", "matmul", "nn.functional.conv2d", "nn.functional.cross_entropy", "cat", "index_put",
    "log_softmax", "nn.functional.layer_norm", "linalg.norm", "masked_fill", "sort", "where",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_ops_of_torchs_database_give_the_same_under_the_recorder():
    pytest.importorskip("expecttest", reason="torch's op database needs expecttest, of the dev extra")
    ops = [op for op in opinfo.database() if op.name in FAST]
    report = opinfo.sweep(ops, {torch.float32, torch.complex64, torch.bfloat16, torch.int64}, samples=2)
    assert report.differences == []
    assert report.counts["samples"] > 60
    assert report.counts["error samples"] > 20


def test_a_dataloader_with_workers_runs_under_the_recorder():
    data = torch.utils.data.TensorDataset(torch.randn(8, 3), torch.randint(0, 2, (8,)))
    net = nn.Linear(3, 2)

    def program():
        for x, y in torch.utils.data.DataLoader(data, batch_size=4, num_workers=1):
            F.cross_entropy(net(x), y).backward()

    run = recorded(program)
    assert sum(node.family == "linear" for node in run.nodes) == 2


class WithLossInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x, labels):
        loss_function = nn.CrossEntropyLoss()
        self.late = nn.Identity() if not hasattr(self, "late") else self.late
        return loss_function(self.late(self.fc(x)), labels) + nn.MSELoss()(x, x)


def test_modules_made_in_forward_are_named_and_each_module_is_declared_once():
    net = WithLossInside()
    x, labels = torch.randn(4, 3), torch.randint(0, 2, (4,))

    def program():
        for _ in range(3):
            net(x, labels).backward()

    run = recorded(program)
    modules = {node.function: node.module for node in run.nodes if node.phase == "forward"}
    assert (modules["linear"], modules["nll_loss"], modules["mse_loss"]) == ("fc", "loss_function", "MSELoss")
    names = [one.name for one in run.declarations]
    assert sorted(names) == ["", "MSELoss", "fc", "late", "loss_function"]
